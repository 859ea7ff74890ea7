// The attention of the last answer on the frames, by layer or by head, with the mean over all layers above.
import { axisFrames, fromBase64, layerNumber, readProfile, readShare, secondsOf, tierRuns } from "../board/codec.js";
import { drawSwatch, drawTimeAxis, outlineEvidence } from "../board/axis.js";
import { cellPicture, putCell, rowLayout } from "../shared/cells.js";
import { clock, percent } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { frameScale, grownAxis } from "../board/zoom.js";

const PROFILE = 52;
const AXIS = 20;

/** The rows of the figure, layers or the heads of one layer: {count, tier(row), name(row), columns, bin, share(row, column), largest(row)}. */
export function readingRows(state, heads) {
  const { meta, answer } = state;
  if (!heads) {
    return {
      count: meta.layers, tier: (row) => meta.tiers[row], name: (row) => `Layer ${layerNumber(meta, row)}`, bin: meta.bin,
      columns: answer?.columns ?? 0, share: (row, c) => readShare(state, row, c) ?? 0, largest: (row) => answer?.largest[row] || 1,
    };
  }
  const values = heads.bytes ?? fromBase64(heads.values);
  return {
    count: heads.heads, tier: () => meta.tiers[heads.layer], name: (row) => `Layer ${layerNumber(meta, heads.layer)}, head ${row}`, bin: heads.bin ?? 1,
    columns: heads.frames, largest: (row) => heads.largest[row] || 1,
    share: (row, c) => {
      const raw = values[row * heads.frames + c];
      return raw === 255 ? 0 : (raw / 254) * heads.largest[row];
    },
  };
}

/** Geometry of the figure at a width. */
export function layoutReading(width, { state, heads }) {
  const left = 16;
  const source = readingRows(state, heads);
  const height = Math.max(5, Math.min(14, Math.floor(170 / source.count)));
  const runs = heads ? [{ tier: source.tier(0), first: 0, last: source.count - 1 }] : tierRuns(state.meta.tiers);
  const rows = rowLayout(runs, PROFILE + 8, height, 4);
  const whole = { first: 0, stop: grownAxis(state.frames, axisFrames(state.meta)), whole: true };
  return { left, rows, width, source, scale: frameScale(whole, left, width - left - 2), runs, height: rows.bottom + AXIS };
}

/** Column and row under a point, or null. */
export function hitReading(layout, { state }, x, y) {
  if (!state.answer || !layout.scale.contains(x) || y > layout.rows.bottom) return null;
  const frame = layout.scale.frame(x);
  if (Math.floor(frame / layout.source.bin) >= layout.source.columns) return null;
  return { frame, column: Math.floor(frame / state.meta.bin), layer: null, row: layout.rows.at(y) };
}

/** Tooltip of a cell. */
export function describeRead(layout, { state }, { frame, row }) {
  const { source } = layout;
  const column = Math.floor(frame / source.bin);
  const title = `Frame ${column * source.bin + 1} · ${clock(secondsOf(state, column * source.bin), true)}`;
  if (row === null) return { title, lines: [`mean over all layers: ${percent(readProfile(state)[Math.floor(frame / state.meta.bin)] ?? 0)} of the attention`] };
  return { title, lines: [`${source.name(row)}: ${percent(source.share(row, column))} of its attention`] };
}

/** Draw the figure; the rows are empty before the first answer. */
export function drawReading(ctx, layout, view) {
  const { state, palette, ratio } = view;
  const { scale, rows, runs, source } = layout;
  for (const run of runs) {
    const top = rows.top(run.first);
    const tall = rows.top(run.last) + rows.height - 1 - top;
    drawSwatch(ctx, run.tier, palette, ratio, scale.left - 10, top, 5, tall);
    ctx.fillStyle = rgba(palette.ink, 0.04);
    ctx.fillRect(scale.left, top, scale.width, tall);
  }
  drawTimeAxis(ctx, scale, rows.bottom + 2, view, scale.width < 420 ? 4 : 6);
  if (!state.answer || !source.columns) return;
  const picture = cellPicture("reading", source.columns, source.count, (data, columns) => {
    for (let row = 0; row < source.count; row += 1) {
      for (let c = 0; c < source.columns; c += 1) {
        const strength = source.share(row, c) / source.largest(row);
        if (strength > 0.02) putCell(data, columns, c, row, palette.read, 0.12 + 0.88 * strength);
      }
    }
  });
  ctx.imageSmoothingEnabled = false;
  const wide = scale.x(Math.min(source.columns * source.bin, scale.window.stop)) - scale.left;
  for (const run of runs) {
    const count = run.last - run.first + 1;
    ctx.drawImage(picture, 0, run.first, source.columns, count, scale.left, rows.top(run.first), wide, count * rows.height);
    ctx.fillStyle = rgba(palette.card, 1);
    for (let row = run.first; row <= run.last; row += 1) {
      ctx.fillRect(scale.left, rows.top(row) + rows.height - 1, scale.width, 1);
    }
  }
  drawProfile(ctx, layout, view);
  outlineEvidence(ctx, scale, 2, rows.bottom - 2, view);
  const asked = scale.left + wide;
  ctx.fillStyle = rgba(palette.ink, 0.6);
  ctx.fillRect(Math.min(asked, scale.left + scale.width - 1), 4, 1, rows.bottom - 4);
  ctx.font = `500 11px ${palette.font}`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  if (asked < scale.left + scale.width - 64) ctx.fillText("asked here", asked + 5, 4);
}

function drawProfile(ctx, { scale }, { state, palette }) {
  const profile = readProfile(state);
  const { bin } = state.meta;
  const top = Math.max(...profile, 1e-6);
  ctx.beginPath();
  ctx.moveTo(scale.left, PROFILE);
  profile.forEach((share, c) => {
    const y = PROFILE - (share / top) * (PROFILE - 6);
    ctx.lineTo(scale.x(c * bin), y);
    ctx.lineTo(scale.x((c + 1) * bin), y);
  });
  ctx.lineTo(scale.x(profile.length * bin), PROFILE);
  ctx.closePath();
  ctx.fillStyle = rgba(palette.read, 0.22);
  ctx.fill();
  ctx.strokeStyle = rgba(palette.read, 0.9);
  ctx.lineWidth = 1;
  ctx.stroke();
}

/** Mark the frame under the cursor. */
export function markReading(ctx, { scale, rows }, { state, palette, cursor }) {
  if (!cursor || cursor.frame >= state.frames) return;
  ctx.fillStyle = rgba(palette.ink, 0.14);
  ctx.fillRect(scale.x(cursor.frame), 0, Math.max(scale.step * state.meta.bin, 3), rows.bottom);
}

/** The figure as a table. */
export function tableReading({ state, heads }) {
  const source = readingRows(state, heads);
  const names = [...Array(source.count).keys()];
  const rows = [...Array(source.columns).keys()].map((c) => [
    `${c * source.bin + 1}`, clock(secondsOf(state, c * source.bin), true), ...names.map((row) => percent(source.share(row, c)))]);
  return { head: ["Frames from", "Seen at", ...names.map(source.name)], rows };
}
