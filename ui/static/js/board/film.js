// The filmstrip: one strip of thumbnails per tier. A patch fades as the tier's layers evict its tokens.
import { axisFrames, secondsOf } from "./codec.js";
import { changesAt, drawChanges, drawTierLabel, layerRange, margins, outlineEvidence, tierName } from "./axis.js";
import { cellPicture, putCell } from "../shared/cells.js";
import { clock, percent } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { frameScale } from "./zoom.js";

const GAP = 8;
const BAR = 4;
const FADE = 0.88;
const ASPECT = 4 / 3;
/** Width of a large thumbnail's slot in a narrow figure, and the number of them that must fit. */
const LARGE = 92;
const MIN_LARGE = 4;

/** Whether there is room for large thumbnails: on a tall screen, for a policy with one strip. Pure. */
export function hasLargePictures({ state, tall }) {
  return Boolean(tall) && state.meta?.groups.length === 1;
}

/** Number of thumbnails that fit side by side. */
export function picturesThatFit(width, window, large = false) {
  return Math.min(roomFor(width, large), window.stop - window.first);
}

function roomFor(width, large) {
  const { left, right, narrow } = margins(width);
  const fit = (slot) => Math.floor((width - left - right) / slot);
  const few = large && fit(LARGE) >= MIN_LARGE;
  return Math.max(1, Math.min(24, fit(!narrow ? 74 : few ? LARGE : 46)));
}

/**
 * Geometry of the figure at a width. A low screen shows only the strip of the deepest tier, which remembers longest. The height
 * depends on the number of frames only in a window that the visitor has zoomed: a stream that begins does not move the page.
 */
export function layoutFilm(width, { state, window, tall: tallScreen = true }) {
  const { left, right, narrow } = margins(width);
  const scale = frameScale(window, left, width - left - right);
  const large = hasLargePictures({ state, tall: tallScreen });
  const slot = scale.width / (window.whole ? roomFor(width, large) : picturesThatFit(width, window, large));
  const tall = Math.round(Math.max(tallScreen ? 40 : 36, Math.min(slot / ASPECT, narrow ? 96 : 132)));
  const { groups } = state.meta;
  const shown = groups.map((group, row) => ({ group, row })).slice(tallScreen ? 0 : -1);
  const rows = shown.map(({ group, row }, i) => ({ group, row, top: 4 + i * (tall + BAR + GAP) }));
  const bottom = rows.length ? rows[rows.length - 1].top + tall + BAR : 0;
  return { left, right, narrow, scale, tall, rows, bottom, width, height: bottom + 3 };
}

/** Share of a thumbnail's patches that a tier still holds, 0 to 1; null if unknown. */
export function pictureShare(state, picture, row) {
  const { groups, grid } = state.meta;
  const mask = state.film?.masks.get(picture);
  const patches = grid[0] * grid[1];
  if (!mask || row >= groups.length) return null;
  let sum = 0;
  for (let p = 0; p < patches; p += 1) sum += mask[row * patches + p];
  return sum / (255 * patches);
}

/** Thumbnail and row under a point, {picture, frame, row}, or null. */
export function hitFilm(layout, { state }, x, y) {
  const { film } = state;
  if (!film || !layout.scale.contains(x) || y > layout.bottom) return null;
  const at = layout.scale.frame(x);
  if (at >= state.frames) return null;
  const picture = Math.floor((at - film.first) / film.size);
  if (!film.masks.has(picture)) return null;
  const row = layout.rows.findIndex((r) => y >= r.top && y < r.top + layout.tall + BAR);
  return { picture, frame: film.first + picture * film.size, row: row < 0 ? null : layout.rows[row].row, changes: changesAt(state, layout.scale, x) };
}

/** Tooltip of a thumbnail. */
export function describePicture(state, { picture, row, changes = [] }) {
  const { film, meta } = state;
  const first = film.first + picture * film.size;
  const last = Math.min(first + film.size, state.frames) - 1;
  const name = last > first ? `Frames ${first + 1}–${last + 1}` : `Frame ${first + 1}`;
  const rows = row === null ? meta.groups.map((_, i) => i) : [row];
  return {
    title: `${name} · ${clock(secondsOf(state, first), true)}`,
    lines: [...changes, ...rows.map((r) => `${tierName(meta.groups[r])}: ${percent(pictureShare(state, picture, r))} of its patches held`)],
  };
}

/** The available thumbnail (`keys`, ascending) within a slot that is nearest to frame `shown`; undefined if there is none. */
export function nearestPicture(keys, first, size, shown) {
  let best;
  for (const frame of keys) {
    if (frame < first || frame >= first + size) continue;
    if (best === undefined || Math.abs(frame - shown) < Math.abs(best - shown)) best = frame;
  }
  return best;
}

/** Draw the strips. */
export function drawFilm(ctx, layout, view) {
  const { state, palette, images } = view;
  const { scale, rows, tall, narrow, left } = layout;
  const { film, meta } = state;
  for (const { group, top } of rows) {
    ctx.fillStyle = rgba(palette.ink, 0.03);
    ctx.fillRect(scale.left, top, scale.width, tall);
    drawTierLabel(ctx, group, layerRange(meta, group), left, top, tall, view, narrow);
    if (narrow) drawTierName(ctx, group, scale.left + scale.width + 6, top + tall / 2, view);
  }
  if (!film) return;
  const axis = axisFrames(meta);
  const keys = [...state.thumbs.keys()].sort((a, b) => a - b);
  for (const [picture] of film.masks) {
    const first = film.first + picture * film.size;
    if (first >= scale.window.stop || first + film.size <= scale.window.first || first >= state.frames) continue;
    const x = scale.x(first);
    const slot = Math.min(scale.x(Math.min(first + film.size, axis)), scale.left + scale.width) - x;
    const thumb = nearestPicture(keys, first, film.size, film.shown.get(picture));
    const image = thumb === undefined ? null : images(thumb);
    drawPicture(ctx, layout, view, { picture, x, slot, image });
  }
  outlineEvidence(ctx, scale, 2, layout.bottom - 2, view);
  drawChanges(ctx, scale, 4, layout.bottom - 4, view);
}

function drawTierName(ctx, group, left, middle, { palette }) {
  ctx.font = `600 11px ${palette.font}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillStyle = rgba(palette.ink, 1);
  ctx.fillText(tierName(group), left, middle);
}

function drawPicture(ctx, { rows, tall, scale }, { state, palette }, { picture, x, slot, image }) {
  const [gridRows, gridColumns] = state.meta.grid;
  const patches = gridRows * gridColumns;
  const wide = Math.max(2, Math.min(slot - 2, tall * (image ? image.width / image.height : ASPECT)));
  const from = Math.max(x, scale.left);
  const mask = state.film.masks.get(picture);
  rows.forEach(({ group, row, top }) => {
    if (image) ctx.drawImage(image, 0, 0, image.width, image.height, from, top, wide, tall);
    else {
      ctx.fillStyle = rgba(palette.ink, 0.12);
      ctx.fillRect(from, top, wide, tall);
    }
    const fade = cellPicture(`film${row}/${picture % 32}`, gridColumns, gridRows, (data, columns) => {
      for (let p = 0; p < patches; p += 1) {
        const held = mask[row * patches + p] / 255;
        putCell(data, columns, p % gridColumns, Math.floor(p / gridColumns), palette.card, FADE * (1 - held));
      }
    });
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(fade, 0, 0, gridColumns, gridRows, from, top, wide, tall);
    ctx.imageSmoothingEnabled = true;
    ctx.strokeStyle = rgba(palette.ink, 0.1);
    ctx.lineWidth = 1;
    ctx.strokeRect(from + 0.5, top + 0.5, wide - 1, tall - 1);
    const share = pictureShare(state, picture, row) ?? 0;
    ctx.fillStyle = rgba(palette.ink, 0.08);
    ctx.fillRect(from, top + tall + 1, wide, BAR - 1);
    ctx.fillStyle = rgba(palette.tiers[group], 1);
    ctx.fillRect(from, top + tall + 1, wide * share, BAR - 1);
  });
}

/** Mark the thumbnail under the cursor. */
export function markFilm(ctx, { scale, rows, tall }, { palette, state, cursor }) {
  if (!cursor || !state.film) return;
  const frame = cursor.frame;
  if (frame < scale.window.first || frame >= scale.window.stop) return;
  const x = scale.x(frame);
  ctx.fillStyle = rgba(palette.ink, 0.9);
  const top = rows[0]?.top ?? 0;
  const bottom = rows.length ? rows[rows.length - 1].top + tall + BAR : 0;
  ctx.fillRect(x - 1, top - 3, 2, bottom - top + 6);
}

/** The filmstrip as a table. */
export function tableFilm({ state }) {
  const { film, meta } = state;
  const head = ["Frames", "Seen at", ...meta.groups.map((group) => `${tierName(group)}: patches held`)];
  const rows = film ? [...film.masks.keys()].sort((a, b) => a - b).map((picture) => {
    const first = film.first + picture * film.size;
    const last = Math.min(first + film.size, state.frames);
    return [last - first > 1 ? `${first + 1}–${last}` : `${first + 1}`, clock(secondsOf(state, first), true),
      ...meta.groups.map((_, row) => percent(pictureShare(state, picture, row)))];
  }) : [];
  return { head, rows };
}
