import assert from "node:assert/strict";
import test from "node:test";
import { heldTable } from "../js/lab/held_table.js";
import { answerOf, heldShare, metrics, reasonOf, UNSEEN } from "../js/lab/cards.js";
import { runOfClip, tabOf } from "../js/lab/lab.js";
import { chosen, grouped, liveLine, mainAction } from "../js/lab/live.js";
import { pinOf, sourceLine, toggled } from "../js/lab/pins.js";
import { score } from "../js/lab/questions.js";
import { firstLabRun, replayLine, stopOf } from "../js/lab/recorded.js";
import { recordingLine } from "../js/player/record.js";
import { firstRun, linkTo } from "../js/runs/replay.js";
import { addressOf, viewOf } from "../js/page/views.js";

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
  const waiting = { title: "Waits", first: null };
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

test("a verdict's title is not repeated in its sentence", () => {
  assert.equal(reasonOf({ title: "Kept and used", sentence: "Kept and used: what was shown at 1:00.0 is still in all layers." }), "What was shown at 1:00.0 is still in all layers.");
  assert.equal(reasonOf({ title: "No reference answer", sentence: "No reference answer, so not scored." }), "No reference answer, so not scored.");
});

test("costs without a value show a dash, and the archive is listed where one is used", () => {
  const row = (lane, name) => metrics(lane).find(([title]) => title === name).slice(1, 3);
  const fresh = { first: null };
  assert.deepEqual(metrics(fresh).map(([, shown]) => shown), ["–", "–", "–", "–", "–"]);
  assert.deepEqual(metrics(fresh, false).map(([name]) => name), ["Tokens held", "Tokens read", "First token"]);
  const first = { median: 12.34, low: 9, high: 20.25, count: 3 };
  const answered = { resident: 512, seen: 2048, read: 640, archive: 1_500_000, moved: 250_000, first };
  assert.deepEqual(row(answered, "Tokens held"), ["512", "of 2,048"]);
  assert.deepEqual(row(answered, "Tokens read"), ["640", ""]);
  assert.deepEqual(row(answered, "First token"), ["12.3 ms", "9 to 20.3 in 3 answers"]);
  assert.deepEqual(row({ first: { median: 12.34, low: 12.34, high: 12.34, count: 1 } }, "First token"), ["12.3 ms", "one answer"]);
  assert.deepEqual(row(answered, "Archive"), ["1.5 MB", ""]);
  assert.deepEqual(row(answered, "Fetched"), ["250 kB", ""]);
});

test("a link names the view, and leaving it names the stream again", () => {
  assert.equal(viewOf(""), "stream");
  assert.equal(viewOf("?view=compare&run=x"), "compare");
  assert.equal(viewOf("?lab=anything"), "compare");
  assert.equal(viewOf("?view=other"), "stream");
  const compare = addressOf("http://host/?run=x&t=3", "compare");
  assert.equal(compare, "http://host/?run=x&t=3&view=compare");
  assert.equal(addressOf(compare, "stream"), "http://host/?run=x&t=3");
  assert.equal(addressOf("http://host/?lab=x&t=3&__theme=dark", "stream"), "http://host/?__theme=dark");
});

test("a recorded run is compared with the recorded comparison of its clip", () => {
  const runs = [{ id: "a", clip: "" }, { id: "b", clip: "first-card" }];
  assert.equal(runOfClip(runs, "first-card").id, "b");
  assert.equal(runOfClip(runs, "crowded"), undefined);
});

test("the side panel follows what is shown", () => {
  assert.equal(tabOf({ state: "empty", lanes: [], run: null }), null);
  assert.equal(tabOf({ state: "starting", lanes: [], run: null }), "live");
  assert.equal(tabOf({ state: "ended", lanes: [{}], run: null }), "live");
  assert.equal(tabOf({ state: "paused", lanes: [{}], run: {} }), "recorded");
});

test("a pin holds the last question of a state, and only finished ones", () => {
  const lane = { title: "HERMES", budget: 1280, held: "AA==" };
  const state = { state: "ended", answering: false, clock: 61, title: "First card", run: null, columns: 1, duration: 90, lanes: [lane, { ...lane, budget: null }], asked: [] };
  assert.equal(sourceLine(state), "1,280 tokens per layer · at 1:01");
  assert.equal(pinOf(state, 1).question, null);
  assert.equal(pinOf({ ...state, answering: true }, 1), null);
  assert.equal(pinOf({ ...state, lanes: [{ title: "HERMES", budget: 128 }] }, 1), null);
  const pin = pinOf({ ...state, run: { title: "Three memories" }, asked: [{ question: "a", at: 1 }, { question: "b", at: 2, truth: "Red." }] }, 7);
  assert.deepEqual([pin.id, pin.title, pin.question, pin.at, pin.truth], [7, "Three memories", "b", 2, "Red."]);
  assert.match(pin.source, /recorded$/);
});

test("two pins are shown, and a third one replaces the oldest", () => {
  assert.deepEqual(toggled([], 1), [1]);
  assert.deepEqual(toggled([1, 2], 3), [2, 3]);
  assert.deepEqual(toggled([1, 2], 1), [2]);
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
  assert.equal(liveLine({ state: "playing", clock: 0, duration: 40, frames: 1 }), "Running · 0:00 of 0:40, 1 frame");
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
