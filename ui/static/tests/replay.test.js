import assert from "node:assert/strict";
import { test } from "node:test";
import { recordingLine } from "../js/player/record.js";
import { before, firstRun, linkTo, readLink } from "../js/runs/replay.js";
import { runSettingsNote } from "../js/page/settings_drawer.js";
import { mainButton, stateLine } from "../js/player/transport.js";

const RUNS = [{ id: "one", open_at: 57 }, { id: "two", open_at: 34 }];

test("an address names a run, a moment and a layer", () => {
  assert.deepEqual(readLink("?run=first-card&t=61.5&layer=2"), { run: "first-card", name: "first-card", seconds: 61.5, layer: 2 });
  assert.deepEqual(readLink(""), { run: null, name: null, seconds: null, layer: null });
});

test("invalid parameters of an address are ignored", () => {
  for (const search of ["?run=../etc&t=-1&layer=1.5", "?run=A%22B&t=soon&layer=x", "?run=&t=&layer=", "?run=x%00&t=Infinity&layer=-2"]) {
    const { run, seconds, layer } = readLink(search);
    assert.deepEqual({ run, seconds, layer }, { run: null, seconds: null, layer: null }, search);
  }
});

test("the page opens on the run of the address, else on the first, else on none", () => {
  assert.deepEqual(firstRun("?run=two&t=9&layer=1", RUNS), { id: "two", seconds: 9, layer: 1, problem: null });
  assert.deepEqual(firstRun("?__theme=dark", RUNS), { id: "one", seconds: 57, layer: null, problem: null });
  assert.equal(firstRun("?run=two", RUNS).seconds, 34);
  assert.equal(firstRun("?run=two&t=0", RUNS).seconds, 0);
  assert.equal(firstRun("?run=one", [{ id: "one" }]).seconds, 0);
  assert.equal(firstRun("?run=none", RUNS), null);
  assert.equal(firstRun("?lesson=kv-cache", RUNS), null);
  assert.equal(firstRun("", []), null);
  const lost = firstRun("?run=three&t=9&layer=1", RUNS);
  assert.deepEqual([lost.id, lost.seconds, lost.layer], ["one", 57, null]);
  assert.match(lost.problem, /not available here/);
});

test("a link opens what is shown, and keeps the rest of the address", () => {
  const href = linkTo("http://host:7860/app/?__theme=dark&lesson=x&t=3#top", { id: "two", seconds: 12.3456, layer: 4 });
  assert.equal(href, "http://host:7860/app/?__theme=dark&run=two&t=12.3&layer=4");
  assert.deepEqual(readLink(new URL(href).search), { run: "two", name: "two", seconds: 12.3, layer: 4 });
  assert.equal(new URL(linkTo("http://host/", { id: "one", seconds: 0, layer: null })).search, "?run=one&t=0");
});

test("a jump to a question ends shortly before it", () => {
  assert.equal(before(60), 58);
  assert.equal(before(1), 0);
});

test("buttons and lines of a run", () => {
  const view = { run: { id: "one" }, state: "playing", behind: 0 };
  assert.equal(stateLine(view), "Playing");
  assert.equal(stateLine({ ...view, state: "ended" }), "End of the recording");
  assert.equal(mainButton("ended", false).action, "restart");
});

test("the progress of a recording, and why it ended early", () => {
  assert.equal(recordingLine(null), "");
  assert.equal(recordingLine({ moments: 1, seconds: 61, ended: "" }), "Recording · 1 moment, up to 1:01");
  assert.match(recordingLine({ moments: 5, seconds: 2, ended: "it reached its largest size" }), /because it reached its largest size\. Save it now/);
});

test("while a run is shown, the settings state that they do not apply to it", () => {
  assert.equal(runSettingsNote(null), "");
  assert.equal(runSettingsNote({ settings: "HERMES, 512 tokens per layer" }), "For live streams only. This recording: HERMES, 512 tokens per layer");
});
