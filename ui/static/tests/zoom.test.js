import assert from "node:assert/strict";
import test from "node:test";
import { grownAxis } from "../js/board/zoom.js";

test("the time axis grows with the stream, at most to its end, and leaves at most an eighth of it empty", () => {
  assert.equal(grownAxis(0, 180), 16);
  assert.equal(grownAxis(16, 180), 16);
  assert.equal(grownAxis(17, 180), 18);
  assert.equal(grownAxis(115, 180), 122);
  assert.equal(grownAxis(177, 180), 180);
  assert.equal(grownAxis(3, 10), 10);
  for (let frames = 16; frames < 5000; frames += 7) {
    const axis = grownAxis(frames, Infinity);
    assert.ok(axis >= frames && axis <= frames * 9 / 8 + 1);
  }
});
