// The sentences that the board says about what it shows. Pure functions.
import { bytes, clock, count, percent, whole } from "../shared/format.js";
import { TIERS, framesIn, keptTokens, readShare, scoreAt, secondsOf } from "./codec.js";

/** What a tier is for, in plain words. */
export const TIER_WORDS = [
  "what has just happened, in detail",
  "recent things and important ones, mixed",
  "a few anchors of the whole stream",
  "this policy treats all layers alike",
];

/** One cell of the board, as the tooltip shows it: heading and lines. */
export function describeCell(state, cursor) {
  const { meta, times } = state;
  const { column, layer } = cursor;
  const first = column * meta.bin;
  const inside = framesIn(state, column);
  const name = inside > 1 ? `Frames ${first + 1}–${first + inside}` : `Frame ${first + 1}`;
  const { kept, of, exact } = keptTokens(state, layer, column);
  const lines = [
    `Layer ${layer + 1} of ${meta.layers} · ${TIERS[meta.tiers[layer]]}`,
    `keeps ${exact ? "" : "about "}${whole(kept)} of ${count(of, "token")}`,
  ];
  const read = readShare(state, layer, column);
  if (read !== null) lines.push(`last answer: ${percent(read)} of its attention`);
  return { title: `${name} · ${clock(times[column], true)}`, lines };
}

/** A cell in the board's mode: the tooltip's words and, where the mode shows a score, the score. */
export function noteOfCell(view, { column, layer }) {
  const note = describeCell(view.state, { column, layer: layer ?? 0 });
  const { mode, state } = view;
  if (mode === "kept" || mode === "answer" || state.scores?.of !== mode) return note;
  const score = scoreAt(state, layer ?? 0, column);
  const words = { importance: "importance", recency: "recency", guidance: "guidance attention" }[mode];
  const told = score === null ? `${words}: no score yet` : `${words}: ${mode === "guidance" ? percent(score) : score.toFixed(2)}`;
  return { ...note, lines: [...note.lines, told] };
}

/** A note for a live region: one sentence. */
export function speakNote({ title, lines }) {
  return `${title.replace(" · ", " at ")}. ${lines.join(", ")}.`;
}

/** What the last answer read, in one sentence; `answer.peaks` are the frames that it read most. */
export function describeReading(state) {
  const { answer } = state;
  if (!answer) return "";
  const words = percent(answer.rest.prompt + answer.rest.text);
  if (!answer.peaks.length) return "It read no frame: all attention went to the prompt and the words.";
  const summary = answer.rest.summary > 0.0005 ? ` and ${percent(answer.rest.summary)} to summary tokens` : "";
  return `Share of the answer's attention, mean of all layers; ${words} went to prompt and words${summary}.`;
}

/** Time of a frame: that of the column it lies in. */
export function frameTime(state, frame) {
  return secondsOf(state, frame);
}

/** The line under the board's title: what is drawn, and whether frames are binned. */
export function describeBoard(state) {
  const { meta, frames } = state;
  const binned = meta.bin > 1 ? ` Each column stands for ${meta.bin} frames.` : "";
  return `${count(frames, "frame")} seen, ${whole(meta.tokens_per_frame)} tokens each, in ${meta.layers} layers.${binned}${describeOutside(state.meters)}`;
}

/** What a policy keeps outside the memory, what the last question fetched from there, and heads that keep their own tokens. */
export function describeOutside(meters) {
  const told = [];
  if (meters?.archive) told.push(` ${bytes(meters.archive)} kept outside the memory.`);
  if (meters?.moved) told.push(` The last question fetched ${bytes(meters.moved)} from there.`);
  if (meters?.by_head) told.push(" Every head keeps tokens of its own: a cell is their mean.");
  return told.join("");
}
