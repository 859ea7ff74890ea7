// Text about the board's state: captions, tooltips and spoken notes. Pure functions.
import { bytes, clock, count, percent, whole } from "../shared/format.js";
import { topHead } from "../chat/word_attention.js";
import { TIERS, framesIn, keptTokens, layerNumber, rankAt, readShare, scoreAt, secondsOf } from "./codec.js";

/** Purpose of each tier. */
export const TIER_WORDS = [
  "the most recent frames, in detail",
  "a mix of recent and important tokens",
  "a few important tokens from the whole stream",
  "this policy treats all layers the same",
];

/** Tooltip of a cell: {title, lines}. */
export function describeCell(state, cursor) {
  const { meta, times } = state;
  const { column, layer } = cursor;
  const first = column * meta.bin;
  const inside = framesIn(state, column);
  const name = inside > 1 ? `Frames ${first + 1}–${first + inside}` : `Frame ${first + 1}`;
  const { kept, of, exact } = keptTokens(state, layer, column);
  const lines = [
    `Layer ${layerNumber(meta, layer)} · ${TIERS[meta.tiers[layer]]}`,
    `keeps ${exact ? "" : "about "}${whole(kept)} of ${count(of, "token")}`,
  ];
  const read = readShare(state, layer, column);
  if (read !== null) lines.push(`${state.answer.word ? `while “${state.answer.word}” was written` : "last answer"}: ${percent(read)} of its attention`);
  return { title: `${name} · ${clock(times[column], true)}`, lines };
}

/** Tooltip of a cell in the board's mode, with its score in the score modes. */
export function noteOfCell(view, { column, layer }) {
  const note = describeCell(view.state, { column, layer: layer ?? 0 });
  const { mode, state } = view;
  if (state.answer?.word && view.word.heads > 1) {
    const { head, share } = topHead(view.word, layer ?? 0, column);
    return { ...note, lines: [...note.lines, `most in head ${head}: ${percent(share)}`] };
  }
  if (mode === "kept" || mode === "answer" || state.scores?.of !== mode) return note;
  const score = scoreAt(state, layer ?? 0, column);
  const name = { importance: "importance", recency: "recency", guidance: "guidance attention" }[mode];
  const rank = mode === "importance" && score !== null ? `, higher than ${percent(rankAt(state, layer ?? 0, column))} of this layer’s columns` : "";
  const line = score === null ? `${name}: no score yet` : `${name}: ${mode === "guidance" ? percent(score) : score.toFixed(3)}${rank}`;
  return { ...note, lines: [...note.lines, line] };
}

/** A tooltip as one sentence for a live region. */
export function speakNote({ title, lines }) {
  return `${title.replace(" · ", " at ")}. ${lines.join(", ")}.`;
}

/** Where the attention of the last answer went, in one sentence. */
export function describeReading(state) {
  const { answer } = state;
  if (!answer) return "";
  const words = percent(answer.rest.prompt + answer.rest.text);
  if (!answer.peaks.length) return "The answer attended to no frame: all its attention went to the prompt and to text.";
  const summary = answer.rest.summary > 0.0005 ? ` and ${percent(answer.rest.summary)} to summary tokens` : "";
  return `Share of the answer’s attention, mean over all layers. ${words} went to the prompt and to text${summary}.`;
}

/** Stream time of a frame in seconds. */
export function frameTime(state, frame) {
  return secondsOf(state, frame);
}

/** The line below the board's title: frames, tokens and layers, and whether frames are binned. */
export function describeBoard(state) {
  const { meta, frames } = state;
  const binned = meta.bin > 1 ? ` Each column shows ${meta.bin} frames.` : "";
  return `${count(frames, "frame")} seen, ${whole(meta.tokens_per_frame)} tokens each, in ${meta.layers} layers.${describeStates(meta)}${binned}${describeOutside(state.meters)}`;
}

/** Layers that hold no tokens, and why; empty if there are none. */
export function describeStates(meta) {
  if (!meta.state_layers) return "";
  const [layers, verbs] = meta.state_layers === 1 ? ["layer", ["holds", "it uses"]] : ["layers", ["hold", "they use"]];
  return ` The ${whole(meta.state_layers)} other ${layers} of the decoder ${verbs[0]} no tokens: ${verbs[1]} linear attention, with a state of fixed size (${bytes(meta.state_bytes)}) that takes in every frame and is not managed.`;
}

/** Size of a policy's archive, bytes fetched from it for the last question, and whether each head keeps its own tokens. */
export function describeOutside(meters) {
  const parts = [];
  if (meters?.archive) parts.push(` ${bytes(meters.archive)} are archived outside the cache.`);
  if (meters?.moved) parts.push(` The last question fetched ${bytes(meters.moved)} from the archive.`);
  if (meters?.by_head) parts.push(" Each head keeps its own tokens; cells show the mean.");
  return parts.join("");
}
