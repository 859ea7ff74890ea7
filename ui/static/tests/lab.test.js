import assert from "node:assert/strict";
import test from "node:test";
import { heldTable } from "../js/lab/held_table.js";
import { answerOf, heldShare, metrics, score, UNSEEN } from "../js/lab/lanes.js";
import { chosen, grouped, liveLine, mainAction } from "../js/lab/live.js";
import { firstLabRun, replayLine, stopOf } from "../js/lab/recorded.js";
import { recordingLine } from "../js/player/record.js";
import { firstRun, linkTo } from "../js/runs/replay.js";

test("memories are chosen once each, gaps left out", () => {
  assert.deepEqual(chosen(["hermes", "", "full", "hermes", ""]), ["hermes", "full"]);
});

test("policies are offered in the groups of the results", () => {
  const [first, second, third] = [{ name: "a", group: "Methods" }, { name: "b", group: "Surrogates" }, { name: "c", group: "Methods" }];
  assert.deepEqual(grouped([first, second, third]), [["Methods", [first, third]], ["Surrogates", [second]]]);
  assert.deepEqual(grouped([]), []);
});

test("the main button pauses a playing run and restarts an ended one", () => {
  assert.equal(mainAction("playing").action, "pause");
  assert.equal(mainAction("paused").action, "resume");
  assert.deepEqual([mainAction("ended").action, mainAction("ended").label], ["start", "Run again"]);
  assert.deepEqual([mainAction("empty").action, mainAction("empty").label], ["start", "Run"]);
});

test("the score of a memory leaves out unscored and failed answers", () => {
  const asked = [
    { replies: [{ answer: "Red.", right: true }, { answer: "Blue.", right: false }, null] },
    { replies: [{ answer: "Yes.", right: true }, { answer: "Yes.", right: true }, null] },
    { replies: [{ answer: "?", right: null }, { answer: "?", right: null }, null] },
  ];
  assert.deepEqual(score(asked, 3), [{ right: 2, of: 2 }, { right: 1, of: 2 }, { right: 0, of: 0 }]);
});

test("the share held counts only what was seen", () => {
  assert.equal(heldShare(Uint8Array.of(254, 0, UNSEEN, UNSEEN)), 0.5);
  assert.equal(heldShare(Uint8Array.of(UNSEEN)), 0);
});

test("the table shows what each layer holds, from when, and the most attended moment", () => {
  const base64 = (...values) => Buffer.from(values).toString("base64");
  const hermes = { title: "HERMES", layers: 2, tiers: [0, 2], held: base64(0, 127, UNSEEN, UNSEEN, 254, 254, UNSEEN, UNSEEN), spots: base64(9, 255, 0, 0) };
  const other = { title: "Other", layers: 1, tiers: null, held: base64(0, 0, UNSEEN, UNSEEN) };
  const waiting = { title: "Waits", first_ms: null };
  assert.deepEqual(heldTable({ lanes: [{ ...other, badge: "surrogate" }], columns: 4, duration: null }).head, ["layer", "Other (surrogate)"]);
  const { head, rows } = heldTable({ lanes: [hermes, other, waiting], columns: 4, duration: 40 });
  assert.deepEqual(head, ["layer", "HERMES", "Other", "Waits"]);
  assert.deepEqual(rows, [
    ["0", "25 %, from 0:10 on (sensory)", "nothing", "–"],
    ["1", "100 %, from 0:00 on (long-term)", "–", "–"],
    ["last answer", "attended most to 0:10", "–", "–"],
  ]);
  assert.deepEqual(heldTable({ lanes: [waiting], columns: 4, duration: null }).rows, []);
  assert.deepEqual(heldTable({ lanes: [hermes], columns: 4, duration: null }).rows, [["0", "25 % (sensory)"], ["1", "100 % (long-term)"]]);
});

test("metrics without a value show a dash", () => {
  const value = (lane, name) => metrics(lane).find(([title]) => title === name)[1];
  const fresh = { first_ms: null };
  assert.deepEqual(metrics(fresh).map(([, shown]) => shown), ["–", "–", "–", "–", "–"]);
  const answered = { resident: 512, seen: 2048, read: 640, archive: 1_500_000, moved: 250_000, first_ms: 12.34 };
  assert.equal(value(answered, "Tokens held"), "512 of 2,048");
  assert.equal(value(answered, "Tokens read"), "640");
  assert.equal(value(answered, "First token"), "12.3 ms");
  assert.equal(value(answered, "Archive"), "1.5 MB");
  assert.equal(value(answered, "Moved"), "250 kB");
});

const RUNS = [{ id: "first-card-side-by-side", open_at: 42 }, { id: "other" }];

test("an address opens a lab run at a moment, and then no other run", () => {
  assert.deepEqual(firstLabRun("?lab=first-card-side-by-side&t=60", RUNS), { id: "first-card-side-by-side", seconds: 60, problem: null });
  assert.equal(firstLabRun("?lab=first-card-side-by-side", RUNS).seconds, 42);
  assert.equal(firstLabRun("?lab=other", RUNS).seconds, 0);
  assert.equal(firstLabRun("?run=other&t=3", RUNS), null);
  for (const search of ["?lab=", "?lab=no-such-run", "?lab=..%2Fetc"]) {
    const { id, problem } = firstLabRun(search, RUNS);
    assert.equal(id, null);
    assert.match(problem, /not available here/);
  }
  assert.equal(firstRun("?lab=other", RUNS), null);
  assert.equal(firstRun("?lab=other&run=other", RUNS).id, "other");
});

test("a link to a lab run names no other run", () => {
  const href = linkTo("http://host/?run=x&t=3&layer=1&__theme=dark", { id: "other", seconds: 12.34, kind: "lab" });
  assert.equal(href, "http://host/?__theme=dark&lab=other&t=12.3");
  assert.equal(new URL(linkTo("http://host/?lab=other", { id: "x", seconds: 1, layer: null })).search, "?run=x&t=1");
  assert.equal(firstLabRun(new URL(href).search, RUNS).seconds, 12.3);
});

test("a question of a run leads to its answers, and while it plays to shortly before them", () => {
  assert.equal(stopOf(45, "paused"), 45);
  assert.equal(stopOf(45, "ended"), 45);
  assert.equal(stopOf(45, "playing"), 43);
});

test("status lines describe the content", () => {
  assert.equal(replayLine({ state: "paused", frames: 91 }), "Paused · 91 frames seen");
  assert.equal(liveLine({ state: "empty", clock: undefined }), "");
  assert.equal(liveLine({ state: "failed", error: "No memory is left.", clock: null }), "No memory is left.");
  assert.match(recordingLine({ moments: 2, seconds: 4, ended: "the run ended" }), /because the run ended\. Save it now/);
});

test("an answer is marked once it is there", () => {
  const lane = { state: "done", answer: "Red.", verdict: { right: false } };
  assert.equal(answerOf(lane), "✗ Red.");
  assert.equal(answerOf({ ...lane, verdict: { right: true } }), "✓ Red.");
  assert.equal(answerOf({ ...lane, verdict: undefined }), "Red.");
  assert.equal(answerOf({ ...lane, state: "writing", answer: "" }), "…");
  assert.equal(answerOf({ state: "failed", error: "The memory is full.", answer: "Red." }), "The memory is full.");
  assert.equal(answerOf({ state: "idle", answer: "" }), "not asked yet");
});
