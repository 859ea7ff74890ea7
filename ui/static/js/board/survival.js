// Survival curves: the share of a frame's tokens that a tier still holds, by age of the frame. Computed from the retention history.
import { clock, percent } from "../shared/format.js";
import { tierName } from "./axis.js";
import { rgba } from "../shared/palette.js";
import { heldShare } from "./retention.js";
import { tickStep } from "./scales.js";

const LEFT = 44;
const BOTTOM = 34;
const HEIGHT = 230;
/** The line is fainter where the mean covers fewer frames than this. */
const FEW = 6;
/** Dash patterns of the tiers' lines, which distinguish them without colour. */
export const DASHES = [[6, 4], [2, 3], [], []];

/**
 * Share of tokens still held by age, over all frames from bin `first` on and all moments: [{mean, low, high, count}], indexed by
 * age in bins. `low` and `high` are the quartiles. Ages that no frame has reached are left out.
 */
export function survival(history, group, first = 0) {
  const byAge = [];
  for (let at = 0; at < history.length; at += 1) {
    for (let frame = first; frame <= at; frame += 1) {
      const share = heldShare(history, group, at, frame);
      if (share === null) continue;
      const age = at - frame;
      if (!byAge[age]) byAge[age] = [];
      byAge[age].push(share);
    }
  }
  return byAge.map((shares) => {
    shares.sort((a, b) => a - b);
    const quartile = (q) => shares[Math.min(shares.length - 1, Math.floor(q * shares.length))];
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    return { mean, low: quartile(0.25), high: quartile(0.75), count: shares.length };
  });
}

/** Bins at the start of the stream that the curves leave out because layers keep them at any age; 0 if none do. */
export function startBins({ start, meta }) {
  return start ? Math.ceil(start.frames / meta.history_step) : 0;
}

/** Seconds of stream time per bin of the history. */
export function binSeconds(state) {
  const { meta, times, frames } = state;
  const last = Math.min(times.length - 1, Math.floor((frames - 1) / meta.bin));
  const rate = last > 0 ? (last * meta.bin) / (times[last] - times[0]) : meta.fps;
  return meta.history_step / (rate > 0 ? rate : meta.fps);
}

/** Geometry of the figure at a width. */
export function layoutSurvival(width, { state }) {
  const ages = Math.max(2, state.history.length);
  const plot = { left: LEFT, top: 8, width: width - LEFT - 12, height: HEIGHT - BOTTOM - 8 };
  return { ...plot, ages, total: HEIGHT, x: (age) => plot.left + (age / (ages - 1)) * plot.width, y: (share) => plot.top + (1 - share) * plot.height };
}

/** Age (in bins) under a point, or null. */
export function hitSurvival(layout, { state }, x) {
  const age = Math.round(((x - layout.left) / layout.width) * (layout.ages - 1));
  return age >= 0 && age < state.history.length ? { age } : null;
}

const curveCache = new WeakMap();

/** The curves of all tiers of a state, cached per history. */
function curvesOf(state) {
  const first = startBins(state);
  if (curveCache.get(state.history)?.first !== first) {
    curveCache.set(state.history, { first, curves: new Map(state.meta.groups.map((group) => [group, survival(state.history, group, first)])) });
  }
  return curveCache.get(state.history).curves;
}

/** Tooltip of an age. */
export function describeAge(state, { age }) {
  const curves = curvesOf(state);
  const title = `A frame ${clock(age * binSeconds(state))} after it was seen`;
  if (age >= state.history.length - startBins(state)) return { title, lines: ["only the start of the stream is that old"] };
  return {
    title,
    lines: state.meta.groups.map((group) => `${tierName(group)}: ${percent(curves.get(group)?.[age]?.mean)} of its tokens held`),
  };
}

/** Draw axes, bands and curves. */
export function drawSurvival(ctx, layout, { state, palette }) {
  const { left, top, width, height, x, y, ages } = layout;
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(left, y(share), width, 1);
    ctx.fillStyle = rgba(palette.quiet, 1);
    ctx.fillText(`${share * 100} %`, left - 8, y(share));
  }
  const seconds = binSeconds(state);
  const span = (ages - 1) * seconds;
  const step = tickStep(span, width < 420 ? 4 : 8);
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  for (let s = 0; s <= span; s += step) {
    const at = left + (s / Math.max(span, 1e-9)) * width;
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(at, top + height, 1, 5);
    ctx.fillStyle = rgba(palette.quiet, 1);
    if (at < left + width - 24) ctx.fillText(clock(s), at + 3, top + height + 4);
  }
  ctx.fillText("age of the frame →", left, top + height + 19);
  for (const [group, curve] of curvesOf(state)) {
    const colour = palette.tiers[group];
    ctx.beginPath();
    curve.forEach(({ high }, age) => (age ? ctx.lineTo(x(age), y(high)) : ctx.moveTo(x(age), y(high))));
    for (let age = curve.length - 1; age >= 0; age -= 1) ctx.lineTo(x(age), y(curve[age].low));
    ctx.closePath();
    ctx.fillStyle = rgba(colour, 0.1);
    ctx.fill();
    const reliable = Math.max(1, curve.findLastIndex(({ count }) => count >= FEW));
    drawMean(ctx, layout, curve.slice(0, reliable + 1), 0, { colour: rgba(colour, 1), group });
    drawMean(ctx, layout, curve.slice(reliable), reliable, { colour: rgba(colour, 0.35), group }); // based on few frames
  }
}

function drawMean(ctx, { x, y }, curve, from, { colour, group }) {
  ctx.beginPath();
  curve.forEach(({ mean }, i) => (i ? ctx.lineTo(x(from + i), y(mean)) : ctx.moveTo(x(from + i), y(mean))));
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2.5;
  ctx.setLineDash(DASHES[group]);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** The curves as a table. */
export function tableSurvival({ state }) {
  const curves = curvesOf(state);
  const seconds = binSeconds(state);
  const rows = [];
  for (let age = 0; age < state.history.length; age += 1) {
    rows.push([clock(age * seconds, true), ...state.meta.groups.map((group) => percent(curves.get(group)?.[age]?.mean ?? NaN))]);
  }
  return { head: ["Age of the frame", ...state.meta.groups.map((group) => `${tierName(group)}: still held`)], rows };
}
