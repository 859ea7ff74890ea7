// The retention timeline: for each moment of the stream, the share of its tokens that each tier still holds now.
import { axisFrames, framesIn, keptShare, seenColumns, secondsOf } from "./codec.js";
import { changesAt, drawChanges, drawSwatch, drawTimeAxis, margins, outlineEvidence, tierName } from "./axis.js";
import { clock, percent } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { frameScale } from "./zoom.js";

const TOP = 4;
const GAP = 5;
const AXIS = 20;

/** Share of a column's tokens that the layers of a tier still hold, 0 to 1; null without such layers. Group 3 is all layers. */
export function tierShare(state, group, column) {
  let sum = 0;
  let count = 0;
  state.meta.tiers.forEach((tier, layer) => {
    if (tier !== group) return;
    sum += keptShare(state, layer, column);
    count += 1;
  });
  return count ? sum / count : null;
}

/** Geometry of the figure at a width: one lane per tier. */
export function layoutTimeline(width, { state, window, tall }) {
  const { left, right, narrow } = margins(width);
  const { groups } = state.meta;
  const lane = (tall ? 28 : 18) * (groups.length === 1 ? 2 : 1);
  const lanes = groups.map((group, i) => ({ group, top: TOP + i * (lane + GAP) }));
  const plot = groups.length * (lane + GAP) - GAP;
  return { left, narrow, lane, lanes, scale: frameScale(window, left, width - left - right), top: TOP, plot, width, height: TOP + plot + AXIS };
}

/** Column under a point, or null. */
export function hitTimeline(layout, { state }, x) {
  if (!layout.scale.contains(x)) return null;
  const frame = layout.scale.frame(x);
  if (frame >= state.frames) return null;
  return { frame, column: Math.floor(frame / state.meta.bin), layer: null, changes: changesAt(state, layout.scale, x) };
}

/** Tooltip of a column. */
export function describeTimeline(state, { column, changes = [] }) {
  return {
    title: `Seen at ${clock(state.times[column], true)}`,
    lines: [...changes, ...state.meta.groups.map((group) => `${tierName(group)}: ${percent(tierShare(state, group, column))} of its tokens held`)],
  };
}

/** Draw one lane per tier, the time axis, and the evidence of the last answer. */
export function drawTimeline(ctx, layout, view) {
  const { state, palette } = view;
  const { scale, top, plot, lane } = layout;
  const { bin } = state.meta;
  const first = Math.floor(scale.window.first / bin);
  const stop = Math.min(seenColumns(state), Math.ceil(Math.min(scale.window.stop, axisFrames(state.meta)) / bin));
  for (const { group, top: above } of layout.lanes) {
    ctx.fillStyle = rgba(palette.ink, 0.04);
    ctx.fillRect(scale.left, above, scale.width, lane);
    drawSwatch(ctx, group, palette, view.ratio, layout.left - 10, above, 5, lane);
    ctx.fillStyle = rgba(palette.tiers[group], 0.85);
    for (let column = first; column < stop; column += 1) {
      const tall = lane * (tierShare(state, group, column) ?? 0);
      const from = Math.max(scale.left, scale.x(column * bin));
      const to = Math.min(scale.left + scale.width, scale.x(column * bin + framesIn(state, column)));
      if (tall > 0 && to > from) ctx.fillRect(from, above + lane - tall, to - from + 0.3, tall);
    }
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(scale.left, above + lane, scale.width, 1);
    ctx.font = `600 11px ${palette.font}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillStyle = rgba(palette.ink, 1);
    ctx.fillText(tierName(group), scale.left + scale.width + 6, above + lane / 2);
  }
  outlineEvidence(ctx, scale, top, plot, view);
  drawChanges(ctx, scale, top, plot, view);
  drawTimeAxis(ctx, scale, top + plot + 2, view, layout.narrow ? 5 : 10);
}

/** Mark the column under the cursor. */
export function markTimeline(ctx, { scale, top, plot }, { state, palette, cursor }) {
  if (!cursor || cursor.frame >= state.frames || cursor.frame < scale.window.first || cursor.frame >= scale.window.stop) return;
  const { bin } = state.meta;
  const x = scale.x(Math.floor(cursor.frame / bin) * bin + bin / 2);
  ctx.fillStyle = rgba(palette.ink, 0.9);
  ctx.fillRect(x - 1, top, 2, plot);
}

/** The figure as a table: one row per column of the window. */
export function tableTimeline({ state, window }) {
  const { bin, groups } = state.meta;
  const rows = [];
  for (let column = Math.floor(window.first / bin); column < Math.min(seenColumns(state), Math.ceil(window.stop / bin)); column += 1) {
    rows.push([clock(secondsOf(state, column * bin), true), ...groups.map((group) => percent(tierShare(state, group, column)))]);
  }
  return { head: ["Seen at", ...groups.map((group) => `${tierName(group)}: still held`)], rows };
}
