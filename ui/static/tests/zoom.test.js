import assert from "node:assert/strict";
import test from "node:test";
import { grownAxis } from "../js/board/zoom.js";

test("the time axis grows with the stream, at most to its end, and leaves at most a third of it empty", () => {
  assert.equal(grownAxis(0, 180), 24);
  assert.equal(grownAxis(24, 180), 24);
  assert.equal(grownAxis(25, 180), 36);
  assert.equal(grownAxis(37, 180), 48);
  assert.equal(grownAxis(170, 180), 180);
  assert.equal(grownAxis(3, 10), 10);
  for (let frames = 24; frames < 5000; frames += 7) {
    const axis = grownAxis(frames, Infinity);
    assert.ok(axis >= frames && axis <= frames * 1.5 + 1);
  }
});
