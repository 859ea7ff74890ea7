import assert from "node:assert/strict";
import test from "node:test";
import { sizeProblem, uploadProblem } from "../js/shared/upload.js";

test("a file that is too large or empty is refused before it is sent", () => {
  assert.equal(sizeProblem({ name: "a.mp4", size: 5 }, 200, "a video file"), "");
  assert.equal(sizeProblem({ name: "a.mp4", size: 0 }, 200, "a video file"), "a.mp4 is empty. Choose a video file.");
  assert.equal(sizeProblem({ name: "a.mp4", size: 201e6 }, 200, "a video file"), "a.mp4 is 201 MB. The limit is 200 MB.");
});

test("a failed upload shows the reason that the server gave", () => {
  const shown = (text) => uploadProblem("a.mp4", text === null ? new TypeError("Failed to fetch") : new Error(text), 200);
  assert.equal(shown("HTTP 429: 3 files are being uploaded already. Wait for one of them."), "a.mp4 could not be uploaded. 3 files are being uploaded already. Wait for one of them.");
  assert.equal(shown("Error: HTTP 413: The request exceeds the maximum allowed size of 5 bytes."), "a.mp4 is too large. The limit is 200 MB.");
  assert.equal(shown("HTTP 413: <html>413 Request Entity Too Large</html>"), "a.mp4 is too large. The limit is 200 MB.");
  assert.equal(shown("HTTP 502: <html>Bad gateway</html>"), "a.mp4 could not be uploaded. Check the connection and try again.");
  assert.equal(shown(null), "a.mp4 could not be uploaded. Check the connection and try again.");
  assert.match(uploadProblem("a.mp4", undefined, 200), /Check the connection/);
});
