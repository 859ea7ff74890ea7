// The timeline of evictions: tokens that a layer holds against the budget, what every eviction let go, and what was folded.
import { axisFrames, secondsOf } from "./codec.js";
import { drawTimeAxis, margins } from "./axis.js";
import { clock, count, whole } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { frameScale } from "./zoom.js";

const HOLD = 84;
const DROP = 56;
const GAP = 20;
const AXIS = 22;

/**
 * Tokens held by a layer (mean of all) along the stream: [{frame, held}], up between evictions and down at each. What is
 * folded leaves a summary token, which is held too.
 */
export function heldCurve(events, tokensPerFrame, step, frames) {
  const points = [{ frame: 0, held: 0 }];
  let gone = 0;
  for (const event of [...events.values()].sort((a, b) => a.at - b.at)) {
    const frame = Math.min((event.at + 1) * step, frames);
    points.push({ frame, held: Math.max(0, frame * tokensPerFrame - gone) });
    gone += event.evicted[3] - event.summaries;
    points.push({ frame, held: Math.max(0, frame * tokensPerFrame - gone) });
  }
  points.push({ frame: frames, held: Math.max(0, frames * tokensPerFrame - gone) });
  return points;
}

/** Geometry of the figure at a width. */
export function layoutEvictions(width, { state }) {
  const { narrow } = margins(width);
  const left = narrow ? 44 : 132;
  const axis = axisFrames(state.meta);
  const scale = frameScale({ first: 0, stop: axis, whole: true }, left, width - left - 12);
  return { narrow, left, scale, width, hold: { top: 16, height: HOLD }, drop: { top: 16 + HOLD + GAP, height: DROP }, height: 16 + HOLD + GAP + DROP + AXIS };
}

/** Bin of the history under a point, or null. */
export function hitEvictions(layout, { state }, x) {
  if (!layout.scale.contains(x)) return null;
  const frame = layout.scale.frame(x);
  return frame < state.frames ? { at: Math.floor(frame / state.meta.history_step) } : null;
}

/** Words for a bin. */
export function describeEvictions(state, { at }) {
  const step = state.meta.history_step;
  const event = state.events.get(at);
  const seconds = event ? event.seconds : secondsOf(state, at * step);
  if (!event) return { title: `Around ${clock(seconds)}`, lines: ["no eviction: every token seen was kept"] };
  const lines = [`${count(event.evictions, "eviction")}, ${whole(event.evicted[3])} tokens let go by each layer`];
  if (event.folded) lines.push(`${whole(event.folded)} of them folded into a summary in the layers that fold`);
  if (event.reindexed) lines.push("positions were compacted (re-indexing)");
  return { title: `Up to ${clock(seconds)}`, lines };
}

/** Draw tokens held, budget, and a bar for what evictions let go. */
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
  ctx.fillText("tokens that a layer holds (mean of all layers)", left, 7);
  ctx.fillText("tokens let go", left, drop.top - 8);
  drawDrops(ctx, layout, view);
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
    if (event.folded) {
      const part = (Math.min(event.folded, most) / most) * (drop.height - 8);
      ctx.fillStyle = rgba(palette.card, 0.9);
      for (let at = base - 3; at > base - part; at -= 5) ctx.fillRect(x, at, wide, 2); // stripes: folded in layers that fold
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
    event.evicted[3].toFixed(0), event.folded ? event.folded.toFixed(0) : "", event.reindexed ? "yes" : "",
  ]);
  const tiers = state.meta.tiered;
  const keep = (row) => (tiers ? row : [row[0], row[1], ...row.slice(5)]);
  return {
    head: keep(["Up to", "Evictions", "Let go: sensory", "Let go: working", "Let go: long-term", "Let go: mean of all layers",
      "Folded, a layer that folds", "Positions compacted"]),
    rows: rows.map(keep),
  };
}
