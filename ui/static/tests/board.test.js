import assert from "node:assert/strict";
import test from "node:test";
import { apply, axisFrames, emptyState, rankAt, scoreAt, secondsOf } from "../js/board/codec.js";
import { csv, csvField, fileName, figureSvg, retentionRows } from "../js/board/exports.js";
import { changesAt, changesIn } from "../js/board/axis.js";
import { describePicture, hasLargePictures, layoutFilm, nearestPicture, pictureShare, picturesThatFit, tableFilm } from "../js/board/film.js";
import { heldCurve } from "../js/board/evictions.js";
import { cellValue, describeLeftOut, describeStart, rowHeight, tableLayers } from "../js/board/layers.js";
import { defaultFrame, historyHint } from "../js/board/default_frame.js";
import { evidenceSpans } from "../js/board/axis.js";
import { noteOfCell } from "../js/board/descriptions.js";
import { describeHistory, describeMerges, heldSteps, patchScore, readHistory, scoreText, tableHistory, topScore } from "../js/board/token_history.js";
import { describePatch, heldPatches, movePatch, patchValues, readFrame, tableMinis } from "../js/board/patches.js";
import { makeDetails, TIMEOUT_MS } from "../js/board/details.js";
import { tableRetention } from "../js/board/retention.js";
import { answerFrom } from "../js/page/saved_board.js";
import { describeAge, survival, tableSurvival } from "../js/board/survival.js";
import { svgPen } from "../js/board/svg.js";
import { rampColour } from "../js/shared/palette.js";
import { describeWindow, fitWindow, frameScale, panBy, reveal, wholeWindow, windowAt, windowTicks, zoomAt } from "../js/board/zoom.js";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const META = { layers: 2, tiers: [0, 2], tiered: true, groups: [0, 2], grid: [1, 2], columns: 4, bin: 1, fps: 2, tokens_per_frame: 2, budget: 3, policy: "hermes", history_bins: 4, history_step: 1 };

/** Two frames of two patches in two layers; the first layer has evicted the first frame's second patch. */
function seen() {
  const message = {
    seq: 1, base: null, meta: META, frames: 2, held: [3, 4],
    columns: { index: base64(new Uint8Array(new Uint16Array([0, 1]).buffer)), values: base64([1, 2, 2, 2]), times: base64(new Uint8Array(new Float32Array([0, 0.5]).buffer)) },
    scores: { of: "importance", fresh: true, index: base64(new Uint8Array(new Uint16Array([0, 1]).buffer)), values: base64([127, 255, 254, 254]), least: [0, 0.5], largest: [1, 1] },
    film: { first: 0, size: 1, fresh: true, index: [0, 1], shown: [0, 1], values: base64([255, 0, 255, 255, 255, 255, 255, 255]) },
    events: [[1, 1, 0.5, 1, 0, 0, 0.5, 0, 0, 0]], meters: null,
  };
  return apply(emptyState(), message);
}

test("rows of the heatmap: small on a phone, high with two columns, and never too high for the screen", () => {
  assert.equal(rowHeight(10, 350), 11); // a phone
  assert.equal(rowHeight(10, 350, { tall: true, pair: true }), 22); // a tablet
  assert.equal(rowHeight(10, 500), 17); // a desktop
  assert.equal(rowHeight(10, 500, { tiered: false }), 22); // the filmstrip has one strip
  assert.equal(rowHeight(10, 350, { tiered: false }), 11);
  assert.equal(rowHeight(10, 440, { tall: false }), 14);
  assert.equal(rowHeight(28, 350, { tall: true, pair: true }), 8);
  assert.equal(rowHeight(80, 350), 5);
});

test("zooming keeps the frame under the pointer and ends at one frame and at the whole", () => {
  const axis = 100;
  let window = wholeWindow(axis);
  for (let i = 0; i < 20; i += 1) window = zoomAt(window, 0.5, 30, axis);
  assert.deepEqual(window, { first: 30, stop: 31, whole: false });
  for (let i = 0; i < 20; i += 1) window = zoomAt(window, 2, 30, axis);
  assert.deepEqual(window, wholeWindow(axis));
  assert.deepEqual(windowAt(95, 10, axis), { first: 90, stop: 100, whole: false });
});

test("a window pans inside the axis, follows a frame, and grows with the stream only while it is whole", () => {
  const near = windowAt(10, 10, 100);
  assert.equal(panBy(near, 0.5, 100).first, 15);
  assert.equal(panBy(near, -9, 100).first, 0);
  assert.equal(reveal(near, 12, 100), near);
  assert.ok(reveal(near, 60, 100).first <= 60 && reveal(near, 60, 100).stop > 60);
  assert.equal(fitWindow(wholeWindow(100), 200).stop, 200);
  assert.deepEqual(fitWindow(near, 200), near);
  assert.match(describeWindow(near, 4), /frames 11–20.*Each picture represents 4 frames/);
});

test("frames to pixels and back, and ticks at round times", () => {
  const scale = frameScale(windowAt(10, 10, 100), 100, 50);
  assert.equal(scale.x(15), 125);
  assert.equal(scale.frame(126), 15);
  assert.equal(scale.frame(0), 10);
  const ticks = windowTicks({ first: 0, stop: 40 }, (frame) => frame / 2, 5);
  assert.deepEqual(ticks.map((tick) => tick.seconds), [0, 5, 10, 15]);
  assert.ok(Math.abs(ticks[1].frame - 10) < 0.01);
});

test("a key frame brings scores, filmstrip and evictions; a difference changes only what it names", () => {
  const state = seen();
  assert.equal(scoreAt(state, 0, 0).toFixed(2), "0.50");
  assert.equal(scoreAt(state, 1, 0), null);
  assert.equal(pictureShare(state, 0, 0), 0.5);
  assert.equal(pictureShare(state, 0, 1), 1);
  assert.equal(state.events.get(1).evicted[3], 0.5);
  const next = apply(state, { seq: 2, base: 1, film: { first: 0, size: 1, fresh: false, index: [1], shown: [1], values: base64([0, 0, 255, 255]) } });
  assert.equal(pictureShare(next, 1, 0), 0);
  assert.equal(pictureShare(next, 0, 0), 0.5);
  assert.equal(axisFrames(next.meta), 4);
  assert.equal(secondsOf(next, 3), 1.5); // not seen yet: computed from the frame rate
});

test("cells: kept, scored, held without a score, forgotten", () => {
  const state = seen();
  assert.equal(cellValue(state, "kept", 0, 0), 0.5);
  assert.equal(cellValue(state, "importance", 0, 1), 1);
  assert.equal(cellValue(state, "importance", 1, 0), -1);
  assert.equal(cellValue(state, "recency", 0, 0), -1); // scores of another mode are not shown as this one's
  assert.equal(cellValue({ ...state, kept: new Uint8Array(8) }, "importance", 0, 0), null);
  const table = tableLayers({ state, window: wholeWindow(4), mode: "importance" });
  assert.deepEqual(table.rows[0], ["All frames", "", "3", "4"]); // the bars beside the figure
  assert.deepEqual(table.rows[1], ["1", "0:00.0", "0.500", "no score"]);
  assert.match(table.caption, /^Importance, by rank: .*Budget: 3 tokens per layer\.$/);
  assert.deepEqual(tableFilm({ state }).rows[0], ["1", "0:00.0", "50 %", "100 %"]);
  assert.deepEqual(describePicture(state, { picture: 0, row: 0 }).lines, ["Sensory: 50 % of its patches held"]);
  assert.equal(picturesThatFit(1300, wholeWindow(500)), 13);
  assert.deepEqual([picturesThatFit(480, wholeWindow(500)), picturesThatFit(480, wholeWindow(500), true)], [8, 4]);
  assert.equal(picturesThatFit(327, wholeWindow(500), true), 5, "two large ones would show too little of the stream");
  assert.equal(hasLargePictures({ state: { meta: META }, tall: true }), false);
  assert.equal(hasLargePictures({ state: { meta: { ...META, groups: [3] } }, tall: true }), true);
  assert.equal(hasLargePictures({ state: { meta: null }, tall: true }), false);
  const heights = [1, 2, 500].map((frames) => layoutFilm(480, { state: { meta: META }, window: wholeWindow(frames) }).height);
  assert.equal(new Set(heights).size, 1, "a stream that begins does not move the page");
  assert.ok(layoutFilm(480, { state: { meta: META }, window: windowAt(0, 2, 500) }).height > heights[0], "zoomed in");
});

test("importance is shown by its rank within the layer, and the tooltip says both", () => {
  const meta = { ...META, columns: 5 };
  const state = { ...seen(), meta, frames: 5, kept: new Uint8Array(10).fill(2), times: Float32Array.from([0, 1, 2, 3, 4]),
    scores: { of: "importance", values: Uint8Array.from([9, 0, 9, 254, 10, 255, 255, 7, 255, 255]), least: [0.5, 0], largest: [0.508, 1] } };
  assert.deepEqual([0, 1, 2, 3, 4].map((c) => cellValue(state, "importance", 0, c)), [0.375, 0, 0.375, 1, 0.75]);
  assert.equal(scoreAt(state, 0, 3).toFixed(3), "0.508");
  assert.equal(rankAt(state, 1, 2), 1); // the only one
  assert.equal(cellValue(state, "importance", 1, 0), -1);
  assert.equal(noteOfCell({ state, mode: "importance" }, { column: 4, layer: 0 }).lines.at(-1), "importance: 0.500, higher than 75 % of this layer’s columns");
});

test("the evidence is outlined where it was seen, and the note names the layers that keep the start", () => {
  const answer = { verdict: { moments: [{ start: 1.25, end: 4, frames: [3, 8] }, { start: 9, end: 10, frames: null }, { start: 20, end: 21, frames: [40, 42] }] } };
  assert.deepEqual(evidenceSpans({ ...seen(), frames: 6, answer }), [[3, 6]]);
  assert.deepEqual(evidenceSpans({ ...seen(), answer: null }), []);
  const meta = { ...META, layers: 10 };
  assert.equal(describeStart({ meta, start: { frames: 2, layers: [0, 1, 2, 9] } }), "Layers 0–2 and 9 still hold the first second.");
  assert.equal(describeStart({ meta, start: { frames: 1, layers: [4] } }), "Layer 4 still holds the first frame.");
  assert.equal(describeStart({ meta: { ...META, numbers: [3, 7] }, start: { frames: 2, layers: [0, 1] } }), "All layers still hold the first second.");
  assert.equal(describeStart({ meta, start: null }), "");
});

test("survival is the mean over frames of one age", () => {
  const row = (...shares) => Uint8Array.from(Array(4).fill(shares).flat().map((share) => share * 255));
  const curve = survival([row(1), row(0, 1), row(0, 1, 1)], 0);
  assert.deepEqual(curve.map(({ mean }) => mean), [1, 0.5, 0]);
  assert.deepEqual(curve.map(({ count }) => count), [3, 2, 1]);
});

test("tokens held rise to an eviction and fall back to the budget", () => {
  const events = new Map([[1, { at: 1, evicted: [0, 0, 0, 6], summaries: 0.5 }]]);
  assert.deepEqual(heldCurve(events, 4, 2, 5), [
    { frame: 0, held: 0 }, { frame: 4, held: 16 }, { frame: 4, held: 10.5 }, { frame: 5, held: 14.5 }]);
});

const FRAME = readFrame({
  frame: 3, seconds: 1.5, grid: [1, 2], evictions: 2, scored: 4, jpeg: null, held: base64([1, 0, 1, 1]), importance: base64([254, 255, 0, 127]),
  recency: base64([0, 255, 0, 0]), guidance: base64([254, 255, 255, 254]), guidance_most: [0.25, 0.5], answer: base64([255, 255, 255, 254]), answer_most: [0, 0.1],
});

test("tooltip of a held and of an evicted patch", () => {
  assert.equal(heldPatches(FRAME, 0), 1);
  assert.deepEqual(patchValues(FRAME, 0, 0), { held: true, importance: 1, recency: 0, guidance: 0.25, answer: null });
  const { title, lines } = describePatch(FRAME, { tiers: [0, 2] }, 0, 0, null);
  assert.equal(title, "Patch in row 1, column 1");
  assert.match(lines.join("; "), /held since 0:01\.5, through 2 evictions; importance 1\.00 at the eviction at 0:04\.0/);
  assert.deepEqual(describePatch(FRAME, { tiers: [0, 2] }, 0, 1, 2.5).lines, ["Layer 0 · sensory", "evicted at 0:02.5"]);
});

const HISTORY = readHistory({
  frame: 0, layer: 1, seen: 0, now: 3, patches: 2, moments: [1, 2], of: 2, held: [[1, 0], [2, 2]], score: base64([127, 255, 64, 255]),
  cut: [0.25, null], left: [null, 1], thinned: 0, missed: false,
  merges: [{ layer: 1, seconds: 1, tokens: 1, summaries: [2], held: true }, { layer: 0, seconds: 2, tokens: 3, summaries: [], held: false }],
});

test("the small frames and the scores of a token history as tables", () => {
  const minis = tableMinis({ state: seen(), frame: FRAME });
  assert.deepEqual(minis.head, ["Row, column", "Layer 0", "Layer 1"]);
  assert.deepEqual(minis.rows, [["Held of 2", "1", "2"], ["1, 1", "held", "held"], ["1, 2", "–", "held"]]);
  assert.deepEqual(tableMinis({ state: seen(), frame: null }).rows, []);
  const life = tableHistory({ state: seen(), tokenHistory: HISTORY, selected: null });
  assert.deepEqual(life.head.slice(-3), ["Lowest importance kept, layer 1", "1, 1", "1, 2"]);
  assert.deepEqual(life.rows, [["0:01.0", "1", "2", "0.25", "0.50", ""], ["0:02.0", "0", "2", "", "0.25", ""]]);
  const many = { ...HISTORY, patches: 200, score: new Uint8Array(400).fill(255) };
  const columns = tableHistory({ state: { ...seen(), meta: { ...META, grid: [10, 20] } }, tokenHistory: many, selected: { patch: 3 } }).head.slice(4);
  assert.ok(columns.length <= 65 && columns.includes("1, 4"), "a part of many patches, and the selected one");
});

test("the retention of a tier as a table: frames by moments, up to now", () => {
  const row = (...shares) => Uint8Array.from(Array(4).fill(shares).flat().map((share) => share * 255));
  const state = { ...seen(), history: [row(1), row(0.2, 1)] };
  const table = tableRetention({ state }, 0, "Sensory");
  assert.deepEqual(table.head, ["Frames around", "at 0:00.0", "at 0:00.5"]);
  assert.deepEqual(table.rows, [["0:00.0", "100 %", "20 %"], ["0:00.5", "", "100 %"]]);
  assert.match(table.caption, /^Sensory: share .* at each moment$/);
  const long = Array.from({ length: 50 }, (_, at) => row(...Array(at + 1).fill(0.5)));
  const some = tableRetention({ state: { ...state, history: long } }, 1, "Working");
  assert.equal(some.head.length, 13);
  assert.equal(some.rows.length, 50);
  assert.equal(some.rows.at(-1).at(-1), "50 %"); // the current moment is included
  assert.match(some.caption, /12 of 50 moments/);
});

test("arrow keys move over patches and stop at the edge", () => {
  assert.equal(movePatch(null, "ArrowRight", [4, 4]), 0);
  assert.equal(movePatch(5, "ArrowDown", [4, 4]), 9);
  assert.equal(movePatch(3, "ArrowRight", [4, 4]), 3);
  assert.equal(movePatch(5, "x", [4, 4]), null);
});

test("a token history in steps and sentences", () => {
  const state = seen();
  assert.deepEqual(heldSteps(HISTORY, 0, 2), [{ seconds: 0, share: 1 }, { seconds: 1, share: 0.5 }, { seconds: 2, share: 0 }]);
  assert.deepEqual(heldSteps(HISTORY, 1, 2), [{ seconds: 0, share: 1 }]);
  assert.equal(patchScore(HISTORY, 0, 0), 0.5);
  assert.equal(patchScore(HISTORY, 0, 1), null);
  assert.equal(topScore(HISTORY), 0.5);
  const faint = { ...HISTORY, most: 0.02, cut: [0.001, null] }; // a frame that is hardly attended fills its axis as well
  assert.equal(patchScore(faint, 0, 0), 0.01);
  assert.equal(topScore(faint), 0.01);
  assert.equal(topScore({ ...faint, cut: [0.3, null] }), 0.5);
  assert.equal(topScore({ ...HISTORY, score: new Uint8Array(4), cut: [0, null] }), 1);
  assert.deepEqual([0, 0.004321, 0.25, 1].map(scoreText), ["0.00", "0.0043", "0.25", "1.00"]);
  const said = describeHistory(state, HISTORY);
  assert.match(said[1], /^Sensory memory has evicted all 2 tokens\./);
  assert.match(said[2], /^Long-term memory still holds 2 of 2 tokens, in 1 layer of 1\./);
  assert.match(describeHistory(state, { ...HISTORY, moments: [], untold: 3 })[1], /3 evictions since then, but this policy does not record evictions per token/);
  assert.match(describeHistory(state, { ...HISTORY, moments: [], untold: 0 })[1], /No evictions since then/);
  assert.match(describeMerges(HISTORY, {})[0], /^Layer 0: 3 tokens merged into the summary token of 0:02\.0\. It was evicted later\./);
  assert.match(describeMerges(HISTORY, {})[1], /merged into that of 0:02\.0\. It is still held\./);
});

test("CSV quotes what it must and defuses formulas", () => {
  assert.equal(csvField('a "b", c'), '"a ""b"", c"');
  assert.equal(csvField("=1+1"), "'=1+1");
  assert.equal(csvField(-0.5), "-0.5");
  assert.equal(csv(retentionRows(seen())), "first_frame,last_frame,seconds,tokens,layer_0,layer_1\r\n1,1,0.000,2,1,2\r\n2,2,0.500,2,2,2\r\n");
  assert.equal(fileName("HERMES", "Layer by layer", "0:41.5"), "hermes-layer-by-layer-0-41-5");
});

test("the pen of an SVG writes shapes, escaped text and opacity", () => {
  const pen = svgPen(10, 10);
  pen.fillStyle = "rgba(1, 2, 3, 0.5)";
  pen.fillRect(1, 2, 3, 4);
  pen.font = "620 15px Inter";
  pen.fillText("a < b & c", 0, 9);
  const text = pen.finish();
  assert.match(text, /<rect x="1" y="2" width="3" height="4" fill="rgb\(1,2,3\)" fill-opacity="0\.5"\/>/);
  assert.match(text, />a &lt; b &amp; c<\/text>/);
  const palette = { card: [255, 255, 255], ink: [0, 0, 0], quiet: [9, 9, 9], font: "Inter" };
  assert.match(figureSvg({ title: "T", note: "N", width: 10, height: 10, palette, paint: (p) => p.fillRect(0, 0, 1, 1) }), /^<svg .*>T<\/text>.*<svg x="20" y="52".*<\/svg><\/svg>$/s);
});

test("one request is in flight at a time, newer ones replace waiting ones, and a lost one times out", async () => {
  const sent = [];
  const timers = [];
  const scheduler = { setTimeout: (f, ms) => timers.push([f, ms]), clearTimeout() {} };
  const details = makeDetails((request) => sent.push(request), scheduler);
  const first = details.ask({ kind: "frame", frame: 1 });
  const second = details.ask({ kind: "frame", frame: 2 });
  const third = details.ask({ kind: "frame", frame: 3 });
  assert.equal(sent.length, 1);
  assert.equal(await second, null); // overtaken
  details.receive({ id: 99 }); // not what was asked
  details.receive({ id: sent[0].id, frame: 1 });
  assert.equal((await first).frame, 1);
  assert.equal(sent[1].frame, 3);
  assert.equal(timers[1][1], TIMEOUT_MS);
  timers[1][0]();
  assert.equal(await third, null);
});

test("the timeout starts when the request was sent", async () => {
  let late = 0;
  const scheduler = { setTimeout: () => { late += 1; return late; }, clearTimeout() {} };
  let leave;
  const details = makeDetails(() => new Promise((resolve) => { leave = resolve; }), scheduler);
  const asked = details.ask({ kind: "frame", frame: 1 });
  assert.equal(late, 0);
  leave();
  await Promise.resolve();
  assert.equal(late, 1);
  details.receive({ id: 1, frame: 1 });
  assert.deepEqual(await asked, { id: 1, frame: 1 });
});

test("a saved page answers from its file and reports what it does not contain", () => {
  const details = [{ kind: "frame", frame: 4, seconds: 2 }, { kind: "life", frame: 4, layer: 1 }];
  assert.equal(answerFrom(details, { id: 7, kind: "frame", frame: 4 }).seconds, 2);
  assert.match(answerFrom(details, { id: 8, kind: "life", frame: 4, layer: 2 }).error, /not one of them/);
});

test("the ramp's lightness is monotonic", () => {
  for (const ramp of [[[240, 226, 174], [185, 216, 180], [85, 173, 180], [37, 102, 163], [20, 35, 92]], [[35, 48, 76], [43, 95, 146], [63, 160, 166], [166, 213, 154], [253, 241, 180]]]) {
    const light = [...Array(21).keys()].map((i) => rampColour(ramp, i / 20)).map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b);
    const steps = light.slice(1).map((value, i) => Math.sign(value - light[i]));
    assert.equal(new Set(steps).size, 1);
  }
});

test("a slot shows its frame, or the nearest available picture", () => {
  assert.equal(nearestPicture([0, 3, 5, 9], 3, 6, 5), 5);
  assert.equal(nearestPicture([0, 3, 7, 9], 3, 6, 6), 7);
  assert.equal(nearestPicture([0, 9], 3, 6, 6), undefined);
});

test("changes of the settings are found on the time axis", () => {
  const state = { frames: 40, marks: [{ frame: 10, text: "budget 512 → 256" }, { frame: 12, text: "policy HERMES → Sliding window" }, { frame: 50, text: "later" }] };
  const window = { first: 0, stop: 100 };
  const scale = { window, x: (frame) => 4 * frame };
  assert.deepEqual(changesIn(state, window).map(({ frame }) => frame), [10, 12], "those of frames that were not seen yet are left out");
  assert.deepEqual(changesIn(state, { first: 11, stop: 20 }).map(({ frame }) => frame), [12]);
  assert.deepEqual(changesAt(state, scale, 36), ["Changed here: budget 512 → 256"]);
  assert.deepEqual(changesAt(state, scale, 44).length, 2);
  assert.deepEqual(changesAt(state, scale, 90), []);
});

test("the token history shows a useful frame until one is opened, and says why", () => {
  const meta = { layers: 2, columns: 4, bin: 1, tokens_per_frame: 2, tiers: [0, 2], groups: [0, 2], grid: [1, 2] };
  const state = { ...emptyState(), meta, frames: 4, kept: Uint8Array.from([2, 2, 2, 2, 2, 2, 2, 2]), times: Float32Array.from([0, 1, 2, 3]) };
  assert.equal(defaultFrame(emptyState()), null);
  assert.equal(defaultFrame(state), null);
  const evicted = (...kept) => ({ ...state, kept: Uint8Array.from(kept) });
  assert.equal(defaultFrame(evicted(2, 1, 1, 2, 2, 2, 2, 2)).frame, 2);
  const gone = defaultFrame(evicted(2, 0, 1, 2, 0, 2, 2, 2));
  assert.equal(gone.frame, 1);
  const answer = { verdict: { moments: [{ frames: null }, { frames: [3, 9] }] } };
  const evidence = defaultFrame({ ...evicted(2, 0, 1, 2, 0, 2, 2, 2), answer });
  assert.equal(evidence.frame, 3);
  assert.match(historyHint(null), /^Click a picture/);
  assert.match(historyHint(gone), /^Frame 2 is shown because it is the newest frame that a layer has evicted\. Click a picture/);
  assert.match(historyHint({ ...evidence, layer: 1 }), /^Frame 4 is shown because it is part of the evidence of the last answer\./);
  assert.equal(historyHint({ frame: 3, why: "" }), "");
});

test("survival curves leave out the start of the stream if layers keep it, and say so", () => {
  const row = (...shares) => Uint8Array.from([...shares.map((share) => share * 255), ...Array(3 * shares.length).fill(0)]);
  const meta = { layers: 3, fps: 1, bin: 1, history_step: 1, groups: [0], tiers: [0, 0, 0], columns: 4 };
  const state = { ...emptyState(), meta, frames: 3, times: Float32Array.from([0, 1, 2]), history: [row(1), row(1, 1), row(1, 0, 1)] };
  assert.deepEqual(survival(state.history, 0).map(({ mean }) => mean), [1, 0.5, 1]);
  assert.equal(describeLeftOut(state), "");
  const kept = { ...state, start: { frames: 1, layers: [0, 1] } };
  assert.deepEqual(survival(kept.history, 0, 1).map(({ mean }) => mean), [1, 0]);
  assert.deepEqual(tableSurvival({ state: kept }).rows.map((cells) => cells[1]), ["100 %", "0 %", "–"]);
  assert.equal(describeLeftOut(kept), "The curves leave out the first frame, which layers 0–1 keep at any age.");
  assert.equal(describeLeftOut({ ...state, start: { frames: 2, layers: [0, 1, 2] } }), "The curves leave out the first second, which all layers keep at any age.");
  assert.deepEqual(describeAge(kept, { age: 1 }).lines, ["Sensory: 0 % of its tokens held"]);
  assert.deepEqual(describeAge(kept, { age: 2 }).lines, ["only the start of the stream is that old"]);
});
