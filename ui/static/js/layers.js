// The board's main figure: thumbnails on the time axis, layers x frames below, tokens held against the budget beside.
import { TIERS, framesIn, keptShare, seenColumns, tierRuns } from "./codec.js";
import { cellPicture, putCell, rowLayout } from "./cells.js";
import { clock, whole } from "./format.js";
import { rgba, shareAlpha, tierPattern } from "./palette.js";
import { columnRate, columnScale, timeTicks } from "./scales.js";

const FILM = 52;
const AXIS = 24;
const GAP = 7;

/** Height of a layer's row so that any depth fits on a screen. */
export function rowHeight(layers, narrow) {
  return Math.max(narrow ? 7 : 8, Math.min(narrow ? 16 : 20, Math.floor(300 / layers)));
}

/** Geometry of the figure at a width; null before there is anything to lay out. */
export function layoutLayers(width, meta) {
  const narrow = width < 620;
  const left = narrow ? 14 : 132;
  const right = narrow ? 66 : 196;
  const runs = tierRuns(meta.tiers);
  const rows = rowLayout(runs, FILM + AXIS + 8, rowHeight(meta.layers, narrow), GAP);
  const scale = columnScale(meta.columns, left, width - left - right);
  return { narrow, left, right, runs, rows, scale, width, height: rows.bottom + 8, gutter: width - right + (narrow ? 8 : 20) };
}

/** Column and layer under a point, or null. */
export function hitLayers(layout, state, x, y) {
  if (!layout.scale.contains(x) || y > layout.rows.bottom) return null;
  const column = layout.scale.column(x);
  if (column >= seenColumns(state)) return null;
  const layer = layout.rows.at(y);
  if (layer === null && y > FILM + AXIS) return null;
  return { column, layer: layer ?? null };
}

/** Draw the whole figure. `view`: {state, palette, ratio, cursor, images}. */
export function drawLayers(ctx, layout, view) {
  drawFilm(ctx, layout, view);
  drawAxis(ctx, layout, view);
  drawCells(ctx, layout, view);
  drawTierLabels(ctx, layout, view);
  drawBudget(ctx, layout, view);
  drawCursor(ctx, layout, view);
}

function drawFilm(ctx, { scale, left, right, width }, { state, images, palette, cursor }) {
  const end = width - right;
  ctx.fillStyle = rgba(palette.ink, 0.035);
  ctx.fillRect(left, 0, end - left, FILM);
  const frames = [...state.thumbs.keys()].sort((a, b) => a - b);
  let free = -Infinity;
  for (const frame of frames) {
    const image = images(frame);
    const x = scale.x(Math.floor(frame / state.meta.bin));
    if (!image || x < free || x > end - 8) continue;
    const w = (FILM * image.width) / image.height;
    const shown = Math.min(w, end - x);
    ctx.drawImage(image, 0, 0, (image.width * shown) / w, image.height, x, 0, shown, FILM);
    free = x + w + 2;
  }
  if (cursor && !frames.length) ctx.fillRect(scale.x(cursor.column), 0, Math.max(1, scale.step), FILM);
}

function drawAxis(ctx, { scale, narrow }, { state, palette }) {
  const { meta, times } = state;
  const seen = seenColumns(state);
  const rate = columnRate(times, seen, meta.fps / meta.bin);
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  for (const tick of timeTicks(times, seen, meta.columns, rate, narrow ? 4 : 10)) {
    const x = Math.round(scale.x(tick.column)) + 0.5;
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(x, FILM + 2, 1, 6);
    ctx.fillStyle = rgba(palette.quiet, 1);
    if (x < scale.left + scale.width - 26) ctx.fillText(clock(tick.seconds), x + 4, FILM + 5);
  }
}

function drawCells(ctx, { runs, rows, scale }, { state, palette, ratio }) {
  const { meta } = state;
  const seen = seenColumns(state);
  const picture = cellPicture("layers", meta.columns, meta.layers, (data, columns) => {
    for (let layer = 0; layer < meta.layers; layer += 1) {
      const colour = palette.tiers[meta.tiers[layer]];
      for (let c = 0; c < seen; c += 1) {
        const alpha = shareAlpha(keptShare(state, layer, c));
        if (alpha) putCell(data, columns, c, layer, colour, alpha);
      }
    }
  });
  ctx.imageSmoothingEnabled = false;
  for (const run of runs) {
    const top = rows.top(run.first);
    const count = run.last - run.first + 1;
    const height = count * rows.height;
    const width = Math.max(0, scale.x(seen) - scale.left);
    ctx.fillStyle = rgba(palette.ink, 0.02);
    ctx.fillRect(scale.left, top, scale.width, height - 1);
    ctx.fillStyle = rgba(palette.ink, 0.045);
    ctx.fillRect(scale.left, top, width, height - 1);
    ctx.drawImage(picture, 0, run.first, meta.columns, count, scale.left, top, scale.width, height);
    const pattern = tierPattern(ctx, run.tier, palette.card, ratio);
    if (pattern) {
      pattern.setTransform(new DOMMatrix().scale(1 / ratio));
      ctx.fillStyle = pattern;
      ctx.fillRect(scale.left, top, width, height - 1);
    }
    ctx.fillStyle = rgba(palette.card, 1);
    for (let layer = run.first; layer <= run.last; layer += 1) {
      ctx.fillRect(scale.left, rows.top(layer) + rows.height - 1, scale.width, 1);
    }
  }
}

/** A swatch of a tier: its colour and its pattern. */
export function drawSwatch(ctx, tier, palette, ratio, x, y, w, hgt) {
  ctx.fillStyle = rgba(palette.tiers[tier], 1);
  ctx.fillRect(x, y, w, hgt);
  const pattern = tierPattern(ctx, tier, palette.card, ratio);
  if (pattern) {
    pattern.setTransform(new DOMMatrix().scale(1 / ratio));
    ctx.fillStyle = pattern;
    ctx.fillRect(x, y, w, hgt);
  }
}

function drawTierLabels(ctx, { runs, rows, left, narrow }, { palette, ratio }) {
  for (const run of runs) {
    const top = rows.top(run.first);
    const height = rows.top(run.last) + rows.height - 1 - top;
    drawSwatch(ctx, run.tier, palette, ratio, left - 10, top, 5, height);
    if (narrow) continue;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    const name = TIERS[run.tier];
    const range = run.first === run.last ? `layer ${run.first + 1}` : `layers ${run.first + 1}–${run.last + 1}`;
    const two = height >= 30;
    ctx.fillStyle = rgba(palette.ink, 1);
    ctx.font = `600 13px ${palette.font}`;
    ctx.fillText(name[0].toUpperCase() + name.slice(1), left - 20, top + height / 2 - (two ? 8 : 0));
    if (!two) continue;
    ctx.fillStyle = rgba(palette.quiet, 1);
    ctx.font = `500 11.5px ${palette.font}`;
    ctx.fillText(range, left - 20, top + height / 2 + 9);
  }
}

function drawBudget(ctx, { rows, gutter, width, narrow }, { state, palette }) {
  const { meta, held } = state;
  if (!held.length) return;
  const room = width - gutter - (narrow ? 4 : 44);
  const most = meta.budget > 0 ? meta.budget : Math.max(...held, 1);
  const reach = meta.budget > 0 ? room * 0.92 : room;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.font = `500 11px ${palette.font}`;
  ctx.fillStyle = rgba(palette.quiet, 1);
  const label = meta.budget > 0 ? `budget ${whole(meta.budget)}` : "no budget";
  if (narrow) ctx.textAlign = "right";
  ctx.fillText(label, narrow ? width : gutter, FILM + 5);
  if (!narrow) ctx.fillText("tokens held by each layer", gutter, FILM - 12);
  for (let layer = 0; layer < meta.layers; layer += 1) {
    const top = rows.top(layer);
    const tall = Math.max(3, rows.height - 5);
    const y = top + (rows.height - 1 - tall) / 2;
    ctx.fillStyle = rgba(palette.ink, 0.05);
    ctx.fillRect(gutter, y, reach, tall);
    ctx.fillStyle = rgba(palette.tiers[meta.tiers[layer]], 0.85);
    ctx.fillRect(gutter, y, Math.min(room, (held[layer] / most) * reach), tall);
    if (narrow || rows.height < 11) continue;
    ctx.fillStyle = rgba(palette.quiet, 1);
    ctx.textBaseline = "middle";
    ctx.font = `500 11px ${palette.font}`;
    ctx.fillText(whole(held[layer]), gutter + room + 8, top + rows.height / 2);
  }
  if (meta.budget > 0) {
    ctx.strokeStyle = rgba(palette.ink, 0.75);
    ctx.lineWidth = 1.5;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(gutter + reach, rows.top(0) - 5);
    ctx.lineTo(gutter + reach, rows.bottom + 2);
    ctx.stroke();
    ctx.setLineDash([]);
  }
}

function drawCursor(ctx, { scale, rows }, { state, palette, cursor }) {
  if (!cursor || cursor.column >= seenColumns(state) || !framesIn(state, cursor.column)) return;
  const x = scale.x(cursor.column);
  const w = Math.max(scale.step, 3);
  ctx.fillStyle = rgba(palette.ink, 0.1);
  ctx.fillRect(x, FILM, w, rows.bottom - FILM);
  if (cursor.layer === null || cursor.layer === undefined) return;
  ctx.strokeStyle = rgba(palette.ink, 1);
  ctx.lineWidth = 2;
  ctx.strokeRect(x - 1, rows.top(cursor.layer) - 1, w + 2, rows.height + 1);
}
