import assert from "node:assert/strict";
import { test } from "node:test";
import { controlsOf, heightOf, momentKey, momentState } from "../js/explore/request.js";

const VIEW = { state: "paused", source: { kind: "run", id: "a" }, run: { epoch: "run-1" }, position: 12, clock: 12, frames: 24, answering: false };

test("a figure shows only the controls that apply to it", () => {
  assert.deepEqual(controlsOf(["mode"]), { mode: true, layer: false, frame: false, tier: false });
  assert.deepEqual(controlsOf(["frame", "every layer"]), { mode: false, layer: true, frame: true, tier: false });
});

test("the height depends only on the place and the number of figures", () => {
  assert.equal(heightOf(1200, false), heightOf(1200, true)); // side by side
  assert.ok(heightOf(800, true) > heightOf(800, false)); // one below the other
  assert.ok(heightOf(350, false) > heightOf(1200, false)); // the colour bar lies below
});

test("a moment is still only while nothing changes it", () => {
  assert.equal(momentState(null), "empty");
  assert.equal(momentState({ ...VIEW, frames: 0 }), "empty");
  assert.equal(momentState({ ...VIEW, state: "playing" }), "moving");
  assert.equal(momentState({ ...VIEW, answering: true }), "moving");
  assert.equal(momentState(VIEW), "still");
  assert.equal(momentState({ ...VIEW, state: "ended" }), "still");
  assert.equal(momentState(null, "lane-0"), "still"); // methods of a comparison are drawn on request
});

test("another moment, run, source or answer needs another figure; other updates do not", () => {
  const key = momentKey(VIEW, "stream", 0);
  assert.equal(momentKey({ ...VIEW, notice: { id: 2 }, state: "ended" }, "stream", 0), key);
  for (const [view, source, answers] of [[{ ...VIEW, position: 13 }, "stream", 0], [{ ...VIEW, run: { epoch: "run-2" } }, "stream", 0],
    [VIEW, "lane-0", 0], [null, "lane-1", 0], [VIEW, "stream", 1]]) assert.notEqual(momentKey(view, source, answers), key);
});
