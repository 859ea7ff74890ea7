import assert from "node:assert/strict";
import test from "node:test";
import { apply, emptyState, framesIn, keptShare, keptTokens, numbers, readProfile, readShare, seenColumns, tierRuns } from "../js/board/codec.js";

const pack = (typed) => Buffer.from(typed.buffer, typed.byteOffset, typed.byteLength).toString("base64");
const META = { layers: 2, tiers: [0, 2], columns: 4, bin: 1, fps: 2, tokens_per_frame: 9, budget: 20, history_bins: 4, history_step: 1 };

function keyFrame(more = {}) {
  return {
    seq: 1, base: null, meta: META, frames: 2, held: [18, 12],
    columns: { index: pack(new Uint16Array([0, 1])), values: pack(new Uint8Array([9, 3, 9, 9])), times: pack(new Float32Array([0, 0.5])) },
    history: [{ at: 0, values: pack(new Uint8Array([255, 0, 85])) }],
    ...more,
  };
}

test("a key frame builds the state", () => {
  const state = apply(emptyState(), keyFrame());
  assert.equal(seenColumns(state), 2);
  assert.deepEqual(keptTokens(state, 1, 0), { kept: 3, of: 9, exact: true });
  assert.equal(keptShare(state, 0, 1), 1);
  assert.deepEqual([...state.history[0]], [255, 0, 85]);
});

test("a difference changes only its columns and needs its base", () => {
  const first = apply(emptyState(), keyFrame());
  const change = {
    seq: 2, base: 1, frames: 3,
    columns: { index: pack(new Uint16Array([0, 2])), values: pack(new Uint8Array([0, 1, 9, 9])), times: pack(new Float32Array([0, 1])) },
  };
  const second = apply(first, change);
  assert.equal(keptTokens(second, 0, 0).kept, 0);
  assert.equal(keptTokens(second, 0, 1).kept, 9);
  assert.equal(keptTokens(second, 1, 2).kept, 9);
  assert.deepEqual(second.held, [18, 12]);
  assert.equal(apply(second, change), null, "the same difference twice is a gap");
  assert.equal(apply(emptyState(), change), null, "a difference without a key frame is a gap");
});

test("binned columns hold several frames, the newest perhaps fewer", () => {
  const meta = { ...META, bin: 4, tokens_per_frame: 100 };
  const state = apply(emptyState(), keyFrame({ meta, frames: 6, columns: { index: pack(new Uint16Array([0, 1])), values: pack(new Uint8Array([255, 128, 128, 0])), times: pack(new Float32Array([0, 2])) } }));
  assert.equal(seenColumns(state), 2);
  assert.equal(framesIn(state, 1), 2);
  assert.deepEqual(keptTokens(state, 0, 0), { kept: 400, of: 400, exact: false });
  assert.deepEqual(keptTokens(state, 1, 0), { kept: 201, of: 400, exact: false });
});

test("an answer's attention is read relative to its layer's largest, and may be taken back", () => {
  const answer = { question: "q", columns: 2, attention: pack(new Uint8Array([255, 51, 0, 255])), largest: [0.5, 0.1], rest: {} };
  const state = apply(emptyState(), keyFrame({ answer }));
  assert.equal(readShare(state, 0, 0), 0.5);
  assert.ok(Math.abs(readShare(state, 0, 1) - 0.1) < 1e-6);
  assert.equal(readShare(state, 1, 3), null, "frames that came after the answer were not read");
  assert.ok(Math.abs(readProfile(state)[0] - 0.25) < 1e-6);
  assert.equal(apply(state, { seq: 2, base: 1, answer: null }).answer, null);
});

test("layers of one tier form runs", () => {
  assert.deepEqual(tierRuns([0, 1, 1, 2]), [{ tier: 0, first: 0, last: 0 }, { tier: 1, first: 1, last: 2 }, { tier: 2, first: 3, last: 3 }]);
});

test("numbers are little-endian", () => {
  assert.deepEqual([...numbers(pack(new Uint16Array([258, 7])), Uint16Array)], [258, 7]);
});
