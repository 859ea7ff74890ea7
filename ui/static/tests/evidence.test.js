import assert from "node:assert/strict";
import test from "node:test";
import { bestRatio, ratioText, steps, titleOf } from "../js/board/evidence.js";

const verdict = (more) => ({
  outcome: "read", right: true, truth: "Red circle.", sampled: 5, held_in: "layers 7–9", needed: 3,
  tiers: [{ lift: null }, { lift: 1.24 }, { lift: 21.6 }], ...more,
});

const states = (of) => steps(of).map((step) => step.state);

test("the steps end where the evidence was lost", () => {
  assert.deepEqual(states(verdict()), ["yes", "yes", "yes", "yes"]);
  assert.deepEqual(states(verdict({ outcome: "unread", right: false })), ["yes", "yes", "no", "no"]);
  assert.deepEqual(states(verdict({ outcome: "evicted", right: false })), ["yes", "no", "open", "no"]);
  assert.deepEqual(states(verdict({ outcome: "not retrieved", right: false })), ["yes", "no", "open", "no"]);
  assert.deepEqual(states(verdict({ outcome: "not sampled", right: true })), ["no", "open", "open", "yes"]);
  assert.deepEqual(states(verdict({ outcome: "absent", right: false })), ["open", "open", "open", "no"]);
  assert.deepEqual(states(verdict({ outcome: "unknown", right: null, truth: null })), ["open", "open", "open", "open"]);
});

test("each step shows its value", () => {
  assert.deepEqual(steps(verdict()).map((step) => step.note), ["5 frames", "layers 7–9", "22×", ""]);
  const lost = steps(verdict({ outcome: "unread", right: false, sampled: 1, tiers: [{ lift: 1.24 }] }));
  assert.deepEqual(lost.map((step) => step.note), ["1 frame", "layers 7–9", "1.2×; the threshold is 3×", "correct: Red circle."]);
  assert.equal(steps(verdict({ outcome: "not retrieved" }))[1].note, "stored, but not read");
  assert.equal(steps(verdict({ outcome: "evicted" }))[1].note, "less than one token per frame");
});

test("attention ratio of the evidence", () => {
  assert.equal(bestRatio([{ lift: null }, { lift: 2 }, { lift: 0.5 }]), 2);
  assert.equal(bestRatio([{ lift: 2 }, { lift: "all" }]), "all");
  assert.equal(bestRatio([{ lift: null }]), null);
  assert.equal(ratioText(9.96), "10.0×");
  assert.equal(ratioText(143.7), "144×");
  assert.equal(ratioText("all"), "only evidence is kept");
  assert.equal(ratioText(null), "");
});

test("every outcome has a title", () => {
  for (const outcome of ["read", "unread", "evicted", "not retrieved", "not sampled", "absent"]) assert.notEqual(titleOf({ outcome }), "No reference answer");
  assert.equal(titleOf({ outcome: "unknown" }), "No reference answer");
});
