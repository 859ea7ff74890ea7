// Shared parts of the figures over stream time: margins, time axis, changes of the settings, and swatches and names of the tiers.
import { TIERS, layerNumber, secondsOf, tierRuns } from "./codec.js";
import { clock } from "../shared/format.js";
import { rgba, tierPattern } from "../shared/palette.js";
import { windowTicks } from "./zoom.js";

/** Distance in pixels within which a mark of a change is under the pointer. */
const NEAR = 6;

/** Margins of the figures that share a time axis. */
export function margins(width) {
  const narrow = width < 620;
  return { narrow, left: narrow ? 16 : 132, right: narrow ? 66 : 150 };
}

/** Draw ticks and clock times of a window at height `y`, at most about `most` of them. */
export function drawTimeAxis(ctx, scale, y, { state, palette }, most) {
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const ticks = windowTicks(scale.window, (frame) => secondsOf(state, frame), most);
  const fine = ticks.length > 1 && ticks[1].seconds - ticks[0].seconds < 1;
  for (const tick of ticks) {
    const x = Math.round(scale.x(tick.frame)) + 0.5;
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(x, y, 1, 6);
    ctx.fillStyle = rgba(palette.quiet, 1);
    if (x < scale.left + scale.width - 28) ctx.fillText(clock(tick.seconds, fine), x + 4, y + 3);
  }
}

/** Draw a tier's pattern over a rectangle. */
export function overlayPattern(ctx, tier, palette, ratio, x, y, w, tall) {
  const pattern = tierPattern(ctx, tier, palette.card, ratio);
  if (!pattern) return;
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  ctx.fillStyle = pattern;
  ctx.fillRect(x, y, w, tall);
}

/** Draw a tier's swatch: its colour and its pattern. */
export function drawSwatch(ctx, tier, palette, ratio, x, y, w, tall) {
  ctx.fillStyle = rgba(palette.tiers[tier], 1);
  ctx.fillRect(x, y, w, tall);
  overlayPattern(ctx, tier, palette, ratio, x, y, w, tall);
}

/** Capitalised name of a tier. */
export function tierName(tier) {
  return TIERS[tier][0].toUpperCase() + TIERS[tier].slice(1);
}

/** The layers of a tier, such as "layer 0" or "layers 1–6". */
export function layerRange(meta, tier) {
  const run = tierRuns(meta.tiers).find((r) => r.tier === tier);
  if (!run) return "";
  const [first, last] = [layerNumber(meta, run.first), layerNumber(meta, run.last)];
  return first === last ? `layer ${first}` : `layers ${first}–${last}`;
}

/** Draw a tier's swatch and name next to its rows. */
export function drawTierLabel(ctx, tier, range, left, top, height, { palette, ratio }, narrow) {
  drawSwatch(ctx, tier, palette, ratio, left - 10, top, 5, height);
  if (narrow) return;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  const two = height >= 30;
  ctx.fillStyle = rgba(palette.ink, 1);
  ctx.font = `600 13px ${palette.font}`;
  ctx.fillText(tierName(tier), left - 20, top + height / 2 - (two ? 8 : 0));
  if (!two) return;
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.font = `500 11.5px ${palette.font}`;
  ctx.fillText(range, left - 20, top + height / 2 + 9);
}

/** Frames [first, stop) of the evidence of the last answer, in stream order. Pure. */
export function evidenceSpans(state) {
  const moments = state.answer?.verdict?.moments ?? [];
  return moments.map((moment) => moment.frames).filter((frames) => frames && frames[0] < state.frames)
    .map(([first, stop]) => [first, Math.min(state.frames, stop)]);
}

/** Outline the evidence of the last answer between `top` and `top + height`. */
export function outlineEvidence(ctx, scale, top, height, { state, palette }) {
  ctx.strokeStyle = rgba(palette.read, 1);
  ctx.lineWidth = 1.5;
  for (const [first, stop] of evidenceSpans(state)) {
    const from = Math.max(scale.left, scale.x(first));
    const to = Math.min(scale.left + scale.width, scale.x(stop));
    if (to > from) ctx.strokeRect(from - 0.75, top - 0.75, Math.max(3, to - from) + 1.5, height + 1.5);
  }
}

/** The marks that a figure shows: those within its window, up to the newest frame. Pure. */
export function changesIn(state, window) {
  return state.marks.filter(({ frame }) => frame <= state.frames && frame >= window.first && frame <= window.stop);
}

/** The changes at a point, in words. Pure. */
export function changesAt(state, scale, x) {
  return changesIn(state, scale.window).filter(({ frame }) => Math.abs(scale.x(frame) - x) <= NEAR).map(({ text }) => `Changed here: ${text}`);
}

/** Draw the marks: a dashed line with a flag at its top. */
export function drawChanges(ctx, scale, top, height, { state, palette }) {
  ctx.fillStyle = ctx.strokeStyle = rgba(palette.ink, 1);
  ctx.lineWidth = 1.5;
  for (const { frame } of changesIn(state, scale.window)) {
    const x = Math.min(scale.x(frame), scale.left + scale.width - 1);
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(x, top - 3);
    ctx.lineTo(x + 7, top);
    ctx.lineTo(x, top + 4);
    ctx.fill();
  }
}
