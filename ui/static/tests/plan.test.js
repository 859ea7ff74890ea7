import assert from "node:assert/strict";
import test from "node:test";
import { firstPlan, readPlan } from "../js/player/plan.js";
import { mainButton, stateLine } from "../js/player/transport.js";

test("a clip's own questions are spread over its length", () => {
  const chips = [0, 5, 10, 20, 30].map((at) => ({ text: `at ${at}`, at }));
  assert.deepEqual(firstPlan(chips).map(({ at }) => at), [0, 10, 30]);
  assert.deepEqual(firstPlan(chips.slice(0, 2)).map(({ at }) => at), [0, 5]);
  assert.deepEqual(firstPlan([]), []);
});

test("a plan is read as it was typed; no time means the end", () => {
  assert.deepEqual(readPlan([{ text: " What? ", at: "2.5" }, { text: "", at: "3" }, { text: "End?", at: "" }]), [
    { text: "What?", at: 2.5 }, { text: "End?", at: null },
  ]);
});

test("a planned run can only be run or stopped", () => {
  assert.equal(mainButton("empty", true, true).label, "Run");
  assert.equal(mainButton("playing", false, true).action, "stop");
  assert.equal(mainButton("ended", false, true).action, "start");
  assert.match(stateLine({ state: "ended" }, true), /run again/);
});
