// The timeline of evictions: tokens held against the budget, tokens evicted at each eviction, and tokens merged into summaries.
import { axisFrames, secondsOf } from "./codec.js";
import { drawTimeAxis, margins, outlineEvidence } from "./axis.js";
import { clock, count, whole } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { frameScale, grownAxis } from "./zoom.js";

const HOLD = 84;
const DROP = 56;
const GAP = 20;
const AXIS = 22;

/**
 * Tokens held per layer (mean over layers) along the stream: [{frame, held}]. The count rises between evictions and falls at
 * each; summary tokens count as held.
 */
export function heldCurve(events, tokensPerFrame, step, frames) {
  const points = [{ frame: 0, held: 0 }];
  let evicted = 0;
  for (const event of [...events.values()].sort((a, b) => a.at - b.at)) {
    const frame = Math.min((event.at + 1) * step, frames);
    points.push({ frame, held: Math.max(0, frame * tokensPerFrame - evicted) });
    evicted += event.evicted[3] - event.summaries;
    points.push({ frame, held: Math.max(0, frame * tokensPerFrame - evicted) });
  }
  points.push({ frame: frames, held: Math.max(0, frames * tokensPerFrame - evicted) });
  return points;
}

/** Geometry of the figure at a width. */
export function layoutEvictions(width, { state }) {
  const { narrow } = margins(width);
  const left = narrow ? 44 : 132;
  const axis = grownAxis(state.frames, axisFrames(state.meta));
  const scale = frameScale({ first: 0, stop: axis, whole: true }, left, width - left - 12);
  return { narrow, left, scale, width, hold: { top: 16, height: HOLD }, drop: { top: 16 + HOLD + GAP, height: DROP }, height: 16 + HOLD + GAP + DROP + AXIS };
}

/** History bin under a point, or null. */
export function hitEvictions(layout, { state }, x) {
  if (!layout.scale.contains(x)) return null;
  const frame = layout.scale.frame(x);
  return frame < state.frames ? { at: Math.floor(frame / state.meta.history_step) } : null;
}

/** Tooltip of a bin. */
export function describeEvictions(state, { at }) {
  const step = state.meta.history_step;
  const event = state.events.get(at);
  const seconds = event ? event.seconds : secondsOf(state, at * step);
  if (!event) return { title: `Around ${clock(seconds)}`, lines: ["no evictions"] };
  const lines = [`${count(event.evictions, "eviction")}, ${whole(event.evicted[3])} tokens evicted per layer`];
  if (event.merged) lines.push(`${whole(event.merged)} of them merged into a summary token, in layers that have one`);
  if (event.reindexed) lines.push("positions re-indexed");
  return { title: `Up to ${clock(seconds)}`, lines };
}

/** Draw the tokens held, the budget, and a bar for the evicted tokens. */
export function drawEvictions(ctx, layout, view) {
  const { state, palette } = view;
  const { scale, hold, drop, left, narrow } = layout;
  const { meta } = state;
  const curve = heldCurve(state.events, meta.tokens_per_frame, meta.history_step, state.frames);
  const most = Math.max(...curve.map((point) => point.held), meta.budget, 1) * 1.08;
  const y = (held) => hold.top + hold.height * (1 - held / most);
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  ctx.fillStyle = rgba(palette.line, 1);
  ctx.fillRect(left, y(0), scale.width, 1);
  ctx.fillRect(left, drop.top + drop.height, scale.width, 1);
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.fillText("0", left - 8, y(0));
  ctx.beginPath();
  curve.forEach(({ frame, held }, i) => (i ? ctx.lineTo(scale.x(frame), y(held)) : ctx.moveTo(scale.x(frame), y(held))));
  ctx.strokeStyle = rgba(palette.ink, 0.8);
  ctx.lineWidth = 1.5;
  ctx.stroke();
  if (meta.budget > 0) {
    ctx.fillStyle = rgba(palette.danger, 1);
    for (let x = left; x < left + scale.width; x += 8) ctx.fillRect(x, y(meta.budget), 5, 1.5);
    ctx.fillText(narrow ? whole(meta.budget) : `budget ${whole(meta.budget)}`, left - 8, y(meta.budget));
  }
  ctx.textAlign = "left";
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.fillText("tokens held per layer (mean over layers)", left, 7);
  ctx.fillText("tokens evicted per layer", left, drop.top - 8);
  drawDrops(ctx, layout, view);
  outlineEvidence(ctx, scale, hold.top, drop.top + drop.height - hold.top, view);
  drawTimeAxis(ctx, scale, drop.top + drop.height + 2, view, narrow ? 4 : 10);
}

function drawDrops(ctx, { scale, drop }, { state, palette }) {
  const step = state.meta.history_step;
  const most = Math.max(1, ...[...state.events.values()].map((event) => event.evicted[3]));
  for (const event of state.events.values()) {
    const x = scale.x(event.at * step);
    const wide = Math.max(2, scale.step * step - 1);
    const tall = (event.evicted[3] / most) * (drop.height - 8);
    const base = drop.top + drop.height;
    ctx.fillStyle = rgba(palette.ink, 0.5);
    ctx.fillRect(x, base - tall, wide, tall);
    if (event.merged) {
      const part = (Math.min(event.merged, most) / most) * (drop.height - 8);
      ctx.fillStyle = rgba(palette.card, 0.9);
      for (let at = base - 3; at > base - part; at -= 5) ctx.fillRect(x, at, wide, 2); // stripes: merged into summary tokens
    }
    if (event.reindexed) {
      const middle = x + wide / 2;
      ctx.fillStyle = rgba(palette.danger, 1);
      ctx.beginPath();
      ctx.moveTo(middle, base - tall - 8);
      ctx.lineTo(middle + 4, base - tall - 4);
      ctx.lineTo(middle, base - tall);
      ctx.lineTo(middle - 4, base - tall - 4);
      ctx.closePath();
      ctx.fill();
    }
  }
}

/** The timeline as a table. */
export function tableEvictions({ state }) {
  const rows = [...state.events.values()].sort((a, b) => a.at - b.at).map((event) => [
    clock(event.seconds, true), whole(event.evictions), ...event.evicted.slice(0, 3).map((n) => n.toFixed(0)),
    event.evicted[3].toFixed(0), event.merged ? event.merged.toFixed(0) : "", event.reindexed ? "yes" : "",
  ]);
  const tiers = state.meta.tiered;
  const keep = (row) => (tiers ? row : [row[0], row[1], ...row.slice(5)]);
  return {
    head: keep(["Up to", "Evictions", "Evicted: sensory", "Evicted: working", "Evicted: long-term", "Evicted: mean over layers",
      "Merged, per layer that merges", "Positions re-indexed"]),
    rows: rows.map(keep),
  };
}
