import assert from "node:assert/strict";
import test from "node:test";
import { hasWords } from "../js/chat/answer.js";
import { headShare, readWord, topHead, withWord } from "../js/chat/word_attention.js";
import { hiddenBy } from "../js/chat/uncover.js";
import { dividers, mergeTurns, turnOf, verdictText } from "../js/chat/turns.js";
import { cellValue, splitOf } from "../js/board/layers.js";
import { evidenceSpans } from "../js/board/axis.js";
import { noteOfCell } from "../js/board/descriptions.js";
import { readProfile, readShare } from "../js/board/codec.js";
import { readingRows } from "../js/chat/answer_attention.js";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");

// two layers, two heads, three columns; the largest of layer 0 is 0.4, that of layer 1 is 0.2
const REPLY = {
  layers: 2, heads: 2, columns: 3, bin: 1, largest: [0.4, 0.2],
  values: base64([254, 0, 0, 127, 0, 127, 0, 0, 254, 0, 127, 254]),
};
const META = { layers: 2, tiers: [0, 2], columns: 4, bin: 1, tokens_per_frame: 9, tiered: true };
const STATE = { meta: META, frames: 4, times: new Float32Array([0, 0.5, 1, 1.5]), kept: new Uint8Array(8).fill(9), answer: null, scores: null };

test("the attention of a word: heads, the mean over heads, and the most attended columns", () => {
  const word = readWord(REPLY, "triangle.");
  assert.ok(Math.abs(headShare(word, 0, 0, 0) - 0.4) < 1e-6);
  assert.ok(Math.abs(headShare(word, 1, 1, 1) - 0.1) < 1e-6);
  assert.equal(headShare(word, 0, 0, 9), 0);
  assert.deepEqual([topHead(word, 0, 2).head, topHead(word, 1, 1).head], [1, 1]);
  const view = withWord({ state: STATE, word, mode: "kept", heads: null });
  assert.equal(view.mode, "answer");
  assert.ok(Math.abs(readShare(view.state, 0, 0) - 0.3) < 2e-3); // the mean of 0.4 and 0.2
  assert.ok(Math.abs(readProfile(view.state)[2] - (0.1 + 0.2) / 2) < 2e-3);
  assert.equal(readShare(view.state, 0, 3), null); // a frame that came after the answer
  assert.deepEqual(word.peaks, [0, 2]);
  assert.deepEqual(evidenceSpans(view.state), [[0, 1], [2, 3]]); // outlined
  assert.equal(cellValue(view.state, "answer", 0, 0), 1);
});

test("a word replaces the shown heads, and no word leaves the view as it is", () => {
  const word = readWord(REPLY, "triangle.");
  const view = { state: STATE, word, mode: "kept", heads: { layer: 1, heads: 2, frames: 3, values: "", largest: [1, 1] }, ratio: 1 };
  const shown = withWord(view);
  const rows = readingRows(shown.state, shown.heads);
  assert.ok(Math.abs(rows.share(0, 2) - 0.2) < 1e-6);
  assert.ok(Math.abs(rows.share(1, 1) - 0.1) < 1e-6);
  assert.equal(splitOf(shown, 2), 2);
  assert.equal(splitOf(shown, 1.5), 1); // too low for a line per head
  assert.equal(splitOf(view, 20), 1); // the view without the word
  assert.equal(withWord({ ...view, word: null }).mode, "kept");
  assert.equal(withWord({ ...view, word: { ...word, bin: 2 } }).mode, "kept"); // the axis has changed meanwhile
  const { lines } = noteOfCell(shown, { column: 0, layer: 0 });
  assert.deepEqual(lines.slice(-2), ["while “triangle.” was written: 30 % of its attention", "most in head 0: 40 %"]);
});

test("words are shown only if they are the text of the answer and one has its attention", () => {
  const turn = { answer: " né 🙂!", words: [["né", 0, 3], [" ", 0, 0], ["🙂!", 4, 8]] };
  assert.ok(hasWords(turn));
  assert.ok(!hasWords({ ...turn, answer: "né 🙂?" }));
  assert.ok(!hasWords({ answer: "né", words: [["né", 0, 0]] }));
  assert.ok(!hasWords({ answer: "né", words: [] }) && !hasWords({ answer: "né" }));
});

test("a divider follows the last turn of each earlier stream", () => {
  const labels = [[1, "New stream: Tour"], [2, "Stream restarted: Tour"], [4, "New stream: camera"]];
  const turns = [{ id: 1, stream: 1 }, { id: 2, stream: 1 }, { id: 3, stream: 2 }];
  assert.deepEqual([...dividers(turns, 2, labels)], [[2, "Stream restarted: Tour"]]);
  assert.deepEqual([...dividers(turns, 4, labels)], [[2, "Stream restarted: Tour"], [3, "New stream: camera"]]);
  assert.deepEqual([...dividers([], 4, labels)], []);
  assert.deepEqual([...dividers([{ id: 1 }], 4, labels)], []); // a recording
});

test("a negative answer has no verdict on attention", () => {
  assert.equal(verdictText({ outcome: "absent", right: true }, false), "✓ Right");
  assert.equal(verdictText({ outcome: "absent", right: false }, false), "✗ Wrong");
  assert.equal(verdictText({ outcome: "absent", right: true }, true), "");
  assert.equal(verdictText({ outcome: "read", right: true }, false), "✓ Right · kept and used ↓");
  assert.equal(verdictText({ outcome: "evicted", right: false }, true), "Why · seen, then forgotten ↓");
});

test("a waiting or cancelled question is not the turn of an answer", () => {
  const told = { question: "First?", answer: "" };
  const turn = (state) => ({ id: 1, question: "First?", answer: "", state });
  assert.equal(turnOf([turn("waiting")], told, "k", () => undefined), undefined);
  assert.equal(turnOf([turn("cancelled")], told, "k", () => undefined), undefined);
  assert.equal(turnOf([turn("done")], told, "k", () => undefined).id, 1);
  assert.deepEqual(mergeTurns([turn("waiting")], 1, { epoch: 1, turns: [turn("done")] }), [turn("done")]);
});

test("a turn below the heatmap stays where it is, and a covered one moves below it", () => {
  assert.equal(hiddenBy(258, 300), 0);
  assert.equal(hiddenBy(258, 30), 238);
  assert.equal(hiddenBy(258, -40), 308);
});
