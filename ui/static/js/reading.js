// What the last answer read: its attention, layer by layer, over the frames, and the mean of all layers above.
import { readProfile, readShare, tierRuns } from "./codec.js";
import { cellPicture, putCell, rowLayout } from "./cells.js";
import { clock } from "./format.js";
import { rgba } from "./palette.js";
import { columnRate, columnScale, timeTicks } from "./scales.js";
import { seenColumns } from "./codec.js";
import { drawSwatch } from "./layers.js";

const PROFILE = 44;
const AXIS = 20;

/** Geometry of the figure at a width. */
export function layoutReading(width, meta) {
  const left = 14;
  const height = Math.max(5, Math.min(12, Math.floor(150 / meta.layers)));
  const rows = rowLayout(tierRuns(meta.tiers), PROFILE + 8, height, 4);
  return { left, rows, width, scale: columnScale(meta.columns, left, width - left), runs: tierRuns(meta.tiers), height: rows.bottom + AXIS };
}

/** Column and layer under a point, or null. */
export function hitReading(layout, state, x, y) {
  if (!state.answer || !layout.scale.contains(x) || y > layout.rows.bottom) return null;
  const column = layout.scale.column(x);
  return column < seenColumns(state) ? { column, layer: layout.rows.at(y) } : null;
}

/** Draw the figure; nothing but empty rows before the first answer. */
export function drawReading(ctx, layout, { state, palette, ratio, cursor }) {
  const { scale, rows, runs } = layout;
  const { meta, answer } = state;
  for (const run of runs) {
    const top = rows.top(run.first);
    const tall = rows.top(run.last) + rows.height - 1 - top;
    drawSwatch(ctx, run.tier, palette, ratio, scale.left - 10, top, 5, tall);
    ctx.fillStyle = rgba(palette.ink, 0.04);
    ctx.fillRect(scale.left, top, scale.width, tall);
  }
  drawTicks(ctx, layout, state, palette);
  if (!answer) return;
  const picture = cellPicture("reading", meta.columns, meta.layers, (data, columns) => {
    for (let layer = 0; layer < meta.layers; layer += 1) {
      const largest = answer.largest[layer] || 1;
      for (let c = 0; c < Math.min(answer.columns, columns); c += 1) {
        const strength = readShare(state, layer, c) / largest;
        if (strength > 0.02) putCell(data, columns, c, layer, palette.read, 0.12 + 0.88 * strength);
      }
    }
  });
  ctx.imageSmoothingEnabled = false;
  for (const run of runs) {
    const count = run.last - run.first + 1;
    const top = rows.top(run.first);
    ctx.drawImage(picture, 0, run.first, meta.columns, count, scale.left, top, scale.width, count * rows.height);
    ctx.fillStyle = rgba(palette.card, 1);
    for (let layer = run.first; layer <= run.last; layer += 1) {
      ctx.fillRect(scale.left, rows.top(layer) + rows.height - 1, scale.width, 1);
    }
  }
  drawProfile(ctx, layout, state, palette);
  const asked = scale.x(answer.columns);
  ctx.fillStyle = rgba(palette.ink, 0.6);
  ctx.fillRect(asked, 4, 1, rows.bottom - 4);
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  if (asked < scale.left + scale.width - 64) ctx.fillText("asked here", asked + 5, 4);
  if (cursor && cursor.column < seenColumns(state)) {
    ctx.fillStyle = rgba(palette.ink, 0.12);
    ctx.fillRect(scale.x(cursor.column), 0, Math.max(scale.step, 3), rows.bottom);
  }
}

function drawProfile(ctx, { scale }, state, palette) {
  const profile = readProfile(state);
  const top = Math.max(...profile, 1e-6);
  ctx.beginPath();
  ctx.moveTo(scale.left, PROFILE);
  profile.forEach((share, c) => {
    const y = PROFILE - (share / top) * (PROFILE - 6);
    ctx.lineTo(scale.x(c), y);
    ctx.lineTo(scale.x(c + 1), y);
  });
  ctx.lineTo(scale.x(profile.length), PROFILE);
  ctx.closePath();
  ctx.fillStyle = rgba(palette.read, 0.22);
  ctx.fill();
  ctx.strokeStyle = rgba(palette.read, 0.9);
  ctx.lineWidth = 1;
  ctx.stroke();
}

function drawTicks(ctx, { scale, rows, width }, state, palette) {
  const seen = seenColumns(state);
  const rate = columnRate(state.times, seen, state.meta.fps / state.meta.bin);
  ctx.font = `500 11px ${palette.font}`;
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  for (const tick of timeTicks(state.times, seen, state.meta.columns, rate, width < 420 ? 4 : 6)) {
    const x = scale.x(tick.column);
    if (x < scale.left + scale.width - 24) ctx.fillText(clock(tick.seconds), x, rows.bottom + 5);
  }
}
