// One opened frame: its picture with the patches that a layer still holds, and small views of the frame in every layer.
import { NO_SCORE, TIERS, fromBase64, layerNumber } from "./codec.js";
import { overlayPattern } from "./axis.js";
import { clock, count, percent } from "../shared/format.js";
import { rampColour, rgba } from "../shared/palette.js";

const FADE = 0.86;
const MINI_GAP = 10;
const MINI_TEXT = 16;

/** Decode the tables of a reply of kind "frame". */
export function readFrame(reply) {
  const table = (name) => fromBase64(reply[name]);
  return {
    ...reply, patches: reply.grid[0] * reply.grid[1], held: table("held"), importance: table("importance"),
    recency: table("recency"), guidance: table("guidance"), answer: table("answer"),
  };
}

/** Values of a patch in a layer: {held, importance, recency, guidance, answer}; null where there is no value. */
export function patchValues(frame, layer, patch) {
  const at = layer * frame.patches + patch;
  const of = (values, most) => (values[at] === NO_SCORE ? null : (values[at] / 254) * most);
  return {
    held: frame.held[at] === 1, importance: of(frame.importance, 1), recency: of(frame.recency, 1),
    guidance: of(frame.guidance, frame.guidance_most[layer]), answer: of(frame.answer, frame.answer_most[layer]),
  };
}

/** Number of the frame's patches that a layer holds. */
export function heldPatches(frame, layer) {
  let held = 0;
  for (let p = 0; p < frame.patches; p += 1) held += frame.held[layer * frame.patches + p];
  return held;
}

/** Tooltip of a patch in a layer. `left`: when it was evicted, in seconds, if known. */
export function describePatch(frame, meta, layer, patch, left) {
  const columns = frame.grid[1];
  const title = `Patch in row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
  const values = patchValues(frame, layer, patch);
  const where = `Layer ${layerNumber(meta, layer)} · ${TIERS[meta.tiers[layer]]}`;
  if (!values.held) {
    return { title, lines: [where, left === null || left === undefined ? "evicted" : `evicted at ${clock(left, true)}`] };
  }
  const lines = [where, `held since ${clock(frame.seconds, true)}, through ${count(frame.evictions, "eviction")}`];
  if (values.importance !== null) lines.push(`importance ${values.importance.toFixed(2)} at the eviction at ${clock(frame.scored, true)}`);
  if (values.recency !== null) lines.push(`recency ${values.recency.toFixed(2)}${values.guidance === null ? "" : `, guidance attention ${percent(values.guidance)}`}`);
  if (values.answer !== null) lines.push(`last answer: ${percent(values.answer)} of the layer’s attention`);
  return { title, lines };
}

/** Geometry of the picture at a width. */
export function layoutPicture(width, { frame, frameImage }) {
  const ratio = frameImage ? frameImage.width / frameImage.height : 4 / 3;
  const wide = Math.min(width, 460);
  const height = Math.round(wide / ratio);
  const [rows, columns] = frame ? frame.grid : [1, 1];
  return { width: wide, height, rows, columns, cell: [wide / columns, height / rows] };
}

/** Patch under a point, or null. */
export function hitPicture({ width, height, rows, columns }, _view, x, y) {
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  return Math.floor((y / height) * rows) * columns + Math.floor((x / width) * columns);
}

/** The patch that an arrow key moves to (the first one if none is selected); null for other keys. */
export function movePatch(patch, key, [rows, columns]) {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!moves[key]) return null;
  if (patch === null || patch === undefined) return 0;
  const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
  const row = clamp(Math.floor(patch / columns) + moves[key][0], rows);
  return row * columns + clamp((patch % columns) + moves[key][1], columns);
}

/** Value of a patch in a mode, 0 to 1 of the layer's scale, or null. */
function patchValue(frame, layer, patch, mode) {
  const raw = frame[mode]?.[layer * frame.patches + patch] ?? NO_SCORE;
  return raw === NO_SCORE ? null : raw / 254;
}

/** Draw the frame as one layer holds it; in the score modes, held patches are tinted by their score. */
export function drawPicture(ctx, layout, { frame, frameImage, selected, palette, mode }) {
  const { width, height, columns, cell: [w, h] } = layout;
  if (frameImage) {
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(frameImage, 0, 0, frameImage.width, frameImage.height, 0, 0, width, height);
  } else {
    ctx.fillStyle = rgba(palette.ink, 0.12);
    ctx.fillRect(0, 0, width, height);
  }
  for (let p = 0; p < frame.patches; p += 1) {
    const x = (p % columns) * w;
    const y = Math.floor(p / columns) * h;
    const held = frame.held[selected.layer * frame.patches + p] === 1;
    const value = held && mode !== "kept" ? patchValue(frame, selected.layer, p, mode) : null;
    if (!held) ctx.fillStyle = rgba(palette.card, FADE);
    else if (value !== null) ctx.fillStyle = mode === "answer" ? rgba(palette.read, 0.1 + 0.75 * value) : rgba(rampColour(palette.ramp, value), 0.72);
    if (!held || value !== null) ctx.fillRect(x, y, w, h);
    ctx.strokeStyle = rgba(palette.card, 0.55);
    ctx.lineWidth = 1;
    ctx.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  }
}

/** Mark the selected patch and the one under the pointer. */
export function markPicture(ctx, { columns, cell: [w, h] }, { palette, hoverPatch, selected }) {
  for (const [patch, colour] of [[selected.patch, palette.focus], [hoverPatch, palette.ink]]) {
    if (patch === null || patch === undefined) continue;
    ctx.strokeStyle = rgba(colour, 1);
    ctx.lineWidth = 3;
    ctx.strokeRect((patch % columns) * w + 1.5, Math.floor(patch / columns) * h + 1.5, w - 3, h - 3);
  }
}

/** Geometry of the small frames, one per layer. */
export function layoutMinis(width, { state }) {
  const { layers, grid } = state.meta;
  const most = layers <= 10 ? 5 : 10;
  const wide = Math.max(34, Math.min(112, Math.floor((width - 4 + MINI_GAP) / most) - MINI_GAP));
  const tall = Math.round((wide * Math.min(1.4, Math.max(0.5, grid[0] / grid[1])) * 3) / 4);
  const across = Math.max(1, Math.floor((width - 4 + MINI_GAP) / (wide + MINI_GAP)));
  const at = (layer) => [(layer % across) * (wide + MINI_GAP) + 2, Math.floor(layer / across) * (tall + MINI_TEXT + 8) + 3];
  return { wide, tall, across, at, height: Math.ceil(layers / across) * (tall + MINI_TEXT + 8) + 4 };
}

/** Layer under a point, or null. */
export function hitMinis({ wide, tall, at }, { state }, x, y) {
  for (let layer = 0; layer < state.meta.layers; layer += 1) {
    const [left, top] = at(layer);
    if (x >= left && x < left + wide && y >= top && y < top + tall + MINI_TEXT) return layer;
  }
  return null;
}

/** Draw the small frames: held patches in their tier's colour and pattern. */
export function drawMinis(ctx, { wide, tall, at }, { state, frame, palette, ratio, selected }) {
  const [rows, columns] = frame.grid;
  for (let layer = 0; layer < state.meta.layers; layer += 1) {
    const [left, top] = at(layer);
    const tier = state.meta.tiers[layer];
    ctx.fillStyle = rgba(palette.ink, 0.06);
    ctx.fillRect(left, top, wide, tall);
    for (let p = 0; p < frame.patches; p += 1) {
      if (!frame.held[layer * frame.patches + p]) continue;
      const x = left + ((p % columns) / columns) * wide;
      const y = top + (Math.floor(p / columns) / rows) * tall;
      ctx.fillStyle = rgba(palette.tiers[tier], 1);
      ctx.fillRect(x, y, wide / columns, tall / rows);
      overlayPattern(ctx, tier, palette, ratio, x, y, wide / columns, tall / rows);
    }
    const on = layer === selected.layer;
    ctx.strokeStyle = on ? rgba(palette.focus, 1) : rgba(palette.line, 1);
    ctx.lineWidth = on ? 2.5 : 1;
    ctx.strokeRect(left - 0.5, top - 0.5, wide + 1, tall + 1);
    ctx.font = `${on ? 650 : 500} 11px ${palette.font}`;
    ctx.fillStyle = rgba(on ? palette.ink : palette.quiet, 1);
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    ctx.fillText(wide > 60 ? `${layer}: ${heldPatches(frame, layer)} held` : `${layer}: ${heldPatches(frame, layer)}`, left, top + tall + 4);
  }
}

/** The small frames as a table: the number of patches held per layer, then one row per patch. */
export function tableMinis({ state, frame }) {
  if (!frame) return { head: [], rows: [] };
  const layers = [...Array(state.meta.layers).keys()];
  return {
    head: ["Row, column", ...layers.map((layer) => `Layer ${layerNumber(state.meta, layer)}`)],
    rows: [[`Held of ${frame.patches}`, ...layers.map((layer) => `${heldPatches(frame, layer)}`)],
      ...[...Array(frame.patches).keys()].map((p) => [`${Math.floor(p / frame.grid[1]) + 1}, ${(p % frame.grid[1]) + 1}`,
        ...layers.map((layer) => (frame.held[layer * frame.patches + p] === 1 ? "held" : "–"))])],
  };
}

/** The frame in the selected layer as a table: one row per patch. */
export function tablePatches({ frame, selected }) {
  if (!frame) return { head: [], rows: [] };
  const number = (value, digits = 3) => (value === null ? "" : value.toFixed(digits));
  const rows = [...Array(frame.patches).keys()].map((p) => {
    const values = patchValues(frame, selected.layer, p);
    return [`${Math.floor(p / frame.grid[1]) + 1}, ${(p % frame.grid[1]) + 1}`, values.held ? "held" : "evicted",
      number(values.importance), number(values.recency), number(values.guidance, 5), number(values.answer, 5)];
  });
  return { head: ["Row, column", "Now", "Importance", "Recency", "Guidance attention", "Answer attention"], rows };
}
