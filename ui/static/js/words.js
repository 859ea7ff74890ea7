// The sentences that the board says about what it shows. Pure functions.
import { clock, count, percent, whole } from "./format.js";
import { TIERS, framesIn, keptTokens, readProfile, readShare } from "./codec.js";

/** What a tier is for, in plain words. */
export const TIER_WORDS = [
  "what has just happened, in detail",
  "recent things and important ones, mixed",
  "a few anchors of the whole stream",
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

/** The same for a live region: one sentence. */
export function speakCell(state, cursor) {
  const { title, lines } = describeCell(state, cursor);
  return `${title.replace(" · ", " at ")}. ${lines.join(", ")}.`;
}

/** The columns that an answer read most, at most `most` of them and not next to each other: [{column, share}]. */
export function readPeaks(profile, most) {
  const apart = Math.max(1, Math.round(profile.length / 30));
  const order = Array.from(profile.keys()).sort((a, b) => profile[b] - profile[a]);
  const peaks = [];
  for (const column of order) {
    if (peaks.length === most || profile[column] <= 0) break;
    if (peaks.every((peak) => Math.abs(peak.column - column) > apart)) peaks.push({ column, share: profile[column] });
  }
  return peaks;
}

/** What the last answer read, in one sentence. */
export function describeReading(state) {
  const { answer, times } = state;
  if (!answer) return "";
  const top = readPeaks(readProfile(state), 3).map(({ column, share }) => `${clock(times[column], true)} (${percent(share)})`);
  if (!top.length) return "It read no frame: all attention went to the prompt and the words.";
  const summary = answer.rest.summary > 0.0005 ? `, summary tokens ${percent(answer.rest.summary)}` : "";
  return `Attention, mean of all layers. Most on ${top.join(", ")}. Prompt and words took ${percent(answer.rest.prompt + answer.rest.text)}${summary}.`;
}

/** The line under the board's title: what is drawn, and whether frames are binned. */
export function describeBoard(state) {
  const { meta, frames } = state;
  const binned = meta.bin > 1 ? ` Each column stands for ${meta.bin} frames.` : "";
  return `${count(frames, "frame")} seen, ${whole(meta.tokens_per_frame)} tokens each, in ${meta.layers} layers.${binned}`;
}
