// The retention timeline of one tier. x: stream time, y: frame. The line of a frame starts on the diagonal, when the frame was
// seen, and fades as the tier evicts its tokens.
import { axisFrames } from "./codec.js";
import { drawTimeAxis, evidenceSpans } from "./axis.js";
import { cellPicture, putCell } from "../shared/cells.js";
import { clock, percent } from "../shared/format.js";
import { rgba, shareAlpha, tierPattern } from "../shared/palette.js";
import { frameScale, grownAxis } from "./zoom.js";

/** Groups per row of the history: the three tiers, and all layers. */
const GROUPS = 4;
/** Most moments in the table. */
const MAX_MOMENTS = 12;

/** Share (0 to 1) of the tokens in frame bin `frame` that a tier held at moment `at`; null if unknown. */
export function heldShare(history, tier, at, frame) {
  const row = history[at];
  if (!row || frame > at) return null;
  const length = row.length / GROUPS;
  return frame < length ? row[tier * length + frame] / 255 : null;
}

/** Geometry of one small figure. */
export function layoutRetention(width, { state: { meta, frames } }) {
  const size = { left: 2, top: 4, width: width - 4, height: Math.min(230, Math.max(110, Math.round(width * 0.92))) };
  const bins = Math.min(meta.history_bins, Math.ceil(grownAxis(frames, axisFrames(meta)) / meta.history_step));
  return { ...size, bins, total: size.height + 24 };
}

/** Moment and frame bin under a point, or null. */
export function hitRetention(layout, { state }, x, y) {
  const at = Math.floor(((x - layout.left) / layout.width) * layout.bins);
  const frame = Math.floor((1 - (y - layout.top) / layout.height) * layout.bins);
  if (at < 0 || frame < 0 || at >= state.history.length || frame > at) return null;
  return { at, frame };
}

/** Stream time of a bin of the history, in seconds. */
function secondsOfBin({ times, meta }, bin) {
  return times[Math.min(times.length - 1, Math.floor((bin * meta.history_step) / meta.bin))];
}

/** Tooltip of a point. */
export function describeRetention(state, tier, { at, frame }) {
  const share = heldShare(state.history, tier, at, frame);
  if (share === null) return null;
  return {
    title: `Frames around ${clock(secondsOfBin(state, frame))}`,
    lines: [`at ${clock(secondsOfBin(state, at))} this tier held ${Math.round(share * 100)} % of their tokens`],
  };
}

/** One tier's figure as a table: a row per bin of frames, a column per moment; at most `MAX_MOMENTS`, evenly spaced. */
export function tableRetention({ state }, tier, caption) {
  const moments = state.history.length;
  const columns = Math.min(moments, MAX_MOMENTS);
  const shown = [...Array(columns).keys()].map((i) => Math.round(((i + 1) * moments) / columns) - 1);
  const share = (at, frame) => {
    const held = heldShare(state.history, tier, at, frame);
    return held === null ? "" : percent(held);
  };
  return {
    caption: `${caption}: share of the frames’ tokens held at ${columns < moments ? `${columns} of ${moments} moments` : "each moment"}`,
    head: ["Frames around", ...shown.map((at) => `at ${clock(secondsOfBin(state, at), true)}`)],
    rows: [...Array(moments).keys()].map((frame) => [clock(secondsOfBin(state, frame), true), ...shown.map((at) => share(at, frame))]),
  };
}

/** Draw one tier's figure. */
export function drawRetention(ctx, layout, tier, { state, palette, ratio }) {
  const { left, top, width, height, bins } = layout;
  ctx.fillStyle = rgba(palette.ink, 0.02);
  ctx.fillRect(left, top, width, height);
  const moments = state.history.length;
  if (moments) {
    const picture = cellPicture(`retention${tier}`, bins, bins, (data) => {
      for (let at = 0; at < Math.min(moments, bins); at += 1) {
        for (let frame = 0; frame <= at; frame += 1) {
          const share = heldShare(state.history, tier, at, frame);
          if (share === null) continue;
          const row = bins - 1 - frame;
          if (share > 0.004) putCell(data, bins, at, row, palette.tiers[tier], shareAlpha(share));
          else putCell(data, bins, at, row, palette.ink, 0.05);
        }
      }
    });
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(picture, left, top, width, height);
    const pattern = tierPattern(ctx, tier, palette.card, ratio);
    if (pattern) {
      pattern.setTransform(new DOMMatrix().scale(1 / ratio));
      ctx.fillStyle = pattern;
      ctx.fillRect(left, top, width, height);
    }
    const now = left + (moments / bins) * width;
    ctx.fillStyle = rgba(palette.ink, 0.35);
    ctx.fillRect(Math.min(now, left + width) - 1, top, 1, height);
    outlineRows(ctx, layout, { state, palette }, now);
  }
  const scale = frameScale({ first: 0, stop: bins * state.meta.history_step, whole: true }, left, width);
  drawTimeAxis(ctx, scale, top + height + 2, { state, palette }, width < 300 ? 3 : 5);
  ctx.fillText("↑ frame", left + 6, top + 7);
}

/** Outline the rows of the evidence of the last answer, from the diagonal to now. */
function outlineRows(ctx, { left, top, width, height, bins }, { state, palette }, now) {
  ctx.strokeStyle = rgba(palette.read, 1);
  ctx.lineWidth = 1.5;
  for (const [first, stop] of evidenceSpans(state)) {
    const [from, to] = [Math.floor(first / state.meta.history_step), Math.ceil(stop / state.meta.history_step)];
    const x = left + (from / bins) * width;
    const y = top + height - (to / bins) * height;
    if (now > x) ctx.strokeRect(x - 0.75, y - 0.75, now - x + 1.5, ((to - from) / bins) * height + 1.5);
  }
}

/** Mark the row of the frame under the cursor. */
export function markRetention(ctx, { left, top, width, height, bins }, { state, palette, cursor }) {
  if (!cursor) return;
  const bin = cursor.frame / state.meta.history_step;
  const y = top + height - ((Math.floor(bin) + 1) / bins) * height;
  ctx.fillStyle = rgba(palette.ink, 0.2);
  ctx.fillRect(left, y, width, Math.max(2, height / bins));
}
