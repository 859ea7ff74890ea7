import assert from "node:assert/strict";
import test from "node:test";
import { bestLift, gates, liftWords, titleOf } from "../js/board/evidence.js";

const fate = (more) => ({
  outcome: "read", right: true, truth: "Red circle.", sampled: 5, held_in: "layers 8–10", needed: 3,
  tiers: [{ lift: null }, { lift: 1.24 }, { lift: 21.6 }], ...more,
});

const states = (of) => gates(of).map((gate) => gate.state);

test("the way of the evidence ends where it was lost", () => {
  assert.deepEqual(states(fate()), ["yes", "yes", "yes", "yes"]);
  assert.deepEqual(states(fate({ outcome: "unread", right: false })), ["yes", "yes", "no", "no"]);
  assert.deepEqual(states(fate({ outcome: "evicted", right: false })), ["yes", "no", "open", "no"]);
  assert.deepEqual(states(fate({ outcome: "not retrieved", right: false })), ["yes", "no", "open", "no"]);
  assert.deepEqual(states(fate({ outcome: "not sampled", right: true })), ["no", "open", "open", "yes"]);
  assert.deepEqual(states(fate({ outcome: "absent", right: false })), ["open", "open", "open", "no"]);
  assert.deepEqual(states(fate({ outcome: "unknown", right: null, truth: null })), ["open", "open", "open", "open"]);
});

test("each gate says its number", () => {
  assert.deepEqual(gates(fate()).map((gate) => gate.note), ["5 frames", "layers 8–10", "22 times", ""]);
  const lost = gates(fate({ outcome: "unread", right: false, sampled: 1, tiers: [{ lift: 1.24 }] }));
  assert.deepEqual(lost.map((gate) => gate.note), ["1 frame", "layers 8–10", "1.2 times; 3 are needed", "true: Red circle."]);
  assert.equal(gates(fate({ outcome: "not retrieved" }))[1].note, "stored, but not read");
  assert.equal(gates(fate({ outcome: "evicted" }))[1].note, "less than a token a frame");
});

test("how much more the evidence was attended to", () => {
  assert.equal(bestLift([{ lift: null }, { lift: 2 }, { lift: 0.5 }]), 2);
  assert.equal(bestLift([{ lift: 2 }, { lift: "all" }]), "all");
  assert.equal(bestLift([{ lift: null }]), null);
  assert.equal(liftWords(9.96), "10.0 times");
  assert.equal(liftWords(143.7), "144 times");
  assert.equal(liftWords("all"), "nothing else held");
  assert.equal(liftWords(null), "");
});

test("every outcome has a title", () => {
  for (const outcome of ["read", "unread", "evicted", "not retrieved", "not sampled", "absent"]) assert.notEqual(titleOf({ outcome }), "No verdict");
  assert.equal(titleOf({ outcome: "unknown" }), "No verdict");
});
