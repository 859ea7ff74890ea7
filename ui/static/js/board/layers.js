// The heatmap of layers by frames: tokens kept, scores or the answer's attention, with a budget bar per layer.
import { axisFrames, framesIn, keptShare, keptTokens, layerNumber, rankAt, readShare, scoreAt, secondsOf, seenColumns, tierRuns } from "./codec.js";
import { drawTierLabel, drawTimeAxis, layerRange, margins, outlineEvidence, overlayPattern } from "./axis.js";
import { cellPicture, putCell, rowLayout } from "../shared/cells.js";
import { clock, whole } from "../shared/format.js";
import { rampColour, rgba, shareAlpha } from "../shared/palette.js";
import { headShare } from "../chat/word_attention.js";
import { frameScale } from "./zoom.js";

const AXIS = 24;
const GAP = 7;

/** Modes of the heatmap: name, label of the switch, the ends of the legend's scale, the unit, and the sentence below the figure. */
export const MODES = {
  kept: { label: "Tokens kept", short: "Kept", ends: ({ tokens_per_frame: per, bin }) => ["1 token", `all ${per * bin}`],
    unit: "tokens of a frame that the layer still holds", note: "How many tokens of each frame a layer still holds." },
  importance: { label: "Importance, by rank", short: "Importance", ends: () => ["lowest", "highest"],
    unit: "rank within the layer of the score at the last eviction, mean over the tokens still held", note: "Rank of the score in its layer; the lowest go first." },
  recency: { label: "Recency", short: "Recency", ends: () => ["0", "1"],
    unit: "first part of the score: 1 is newest; mean over the tokens still held", note: "How recent the tokens are: part of the score." },
  guidance: { label: "Guidance attention", short: "Guidance", ends: () => ["none", "most"],
    unit: "second part of the score: share of the guidance prompts’ attention, relative to the layer’s largest", note: "Attention of guidance prompts: part of the score." },
  answer: { label: "Answer attention", short: "Answer", ends: () => ["none", "most"],
    unit: "share of the last answer’s attention, relative to the layer’s largest", note: "What the answer attended to in each layer." },
};

/**
 * Height of a layer's row, so that models of any depth fit on a screen. On a phone the figure stays in view and is small. With
 * two columns (`pair`), and for policies without tiers, there is room below it. Pure.
 */
export function rowHeight(layers, width, { tall = true, pair = false, tiered = true } = {}) {
  const small = isSmall(width, pair);
  const room = small ? 110 : tall ? 240 : 140;
  const [least, most] = small || (width < 620 && tiered && !pair) ? [5, 17] : [8, 22];
  return Math.max(least, Math.min(most, Math.floor(room / layers)));
}

/** Whether the figure is that of a phone. */
function isSmall(width, pair) {
  return width < 420 && !pair;
}

/** Geometry of the figure at a width. */
export function layoutLayers(width, { state, window, tall, pair }) {
  const { left, right, narrow } = margins(width);
  const runs = tierRuns(state.meta.tiers);
  const rows = rowLayout(runs, AXIS, rowHeight(state.meta.layers, width, { tall, pair, tiered: state.meta.tiered }), isSmall(width, pair) ? 3 : GAP);
  const scale = frameScale(window, left, width - left - right);
  return { narrow, left, right, runs, rows, scale, width, height: rows.bottom + 8, gutter: width - right + (narrow ? 8 : 20) };
}

/** Column and layer under a point, or null. */
export function hitLayers(layout, { state }, x, y) {
  if (!layout.scale.contains(x) || y > layout.rows.bottom) return null;
  const frame = layout.scale.frame(x);
  if (frame >= state.frames) return null;
  const layer = layout.rows.at(y);
  return layer === null ? null : { column: Math.floor(frame / state.meta.bin), frame, layer };
}

/** Value of a cell in a mode, 0 to 1 of its scale; null if there is nothing to show, -1 if held without a score. */
export function cellValue(state, mode, layer, column) {
  if (mode === "kept") return keptShare(state, layer, column) || null;
  if (mode === "answer") {
    const share = readShare(state, layer, column);
    const largest = state.answer?.largest[layer];
    return share === null || !largest || share / largest < 0.02 ? null : share / largest;
  }
  if (!keptShare(state, layer, column)) return null;
  if (mode === "importance") return state.scores?.of === mode ? rankAt(state, layer, column) ?? -1 : -1;
  const score = state.scores?.of === mode ? scoreAt(state, layer, column) : null;
  return score === null ? -1 : score / (state.scores.largest[layer] || 1);
}

/** Draw the whole figure. */
export function drawLayers(ctx, layout, view) {
  drawTimeAxis(ctx, layout.scale, 2, view, layout.narrow ? 4 : 10);
  drawCells(ctx, layout, view);
  for (const run of layout.runs) {
    const top = layout.rows.top(run.first);
    const height = layout.rows.top(run.last) + layout.rows.height - 1 - top;
    drawTierLabel(ctx, run.tier, layerRange(view.state.meta, run.tier), layout.left, top, height, view, layout.narrow);
  }
  drawBudget(ctx, layout, view);
  drawStart(ctx, layout, view);
  outlineEvidence(ctx, layout.scale, layout.rows.top(0), layout.rows.bottom - layout.rows.top(0), view);
}

/** Mark the frames at the start of the stream that layers still hold, above the rows; the note below explains them. */
function drawStart(ctx, { scale, rows }, { state, palette, mode }) {
  if (!state.start || mode !== "kept" || scale.window.first >= state.start.frames) return;
  const x = scale.x(0);
  const wide = Math.max(4, scale.x(Math.min(state.start.frames, scale.window.stop)) - x);
  ctx.fillStyle = rgba(palette.ink, 0.85);
  ctx.fillRect(x, rows.top(0) - 5, wide, 3);
}

/** The layers that still hold the start of the stream, and what that start is: {where, one, what}. */
function partsOfStart({ start, meta }) {
  const numbers = start.layers.map((layer) => layerNumber(meta, layer));
  const runs = [];
  for (const number of numbers) {
    const last = runs[runs.length - 1];
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  const parts = runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`));
  const named = parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}` : parts[0];
  const every = start.layers.length === meta.layers;
  const one = start.layers.length === 1;
  const where = every ? "all layers" : `${one ? "layer" : "layers"} ${named}`;
  return { where, one, what: `the first ${start.frames === 1 ? "frame" : "second"}` };
}

/** The note below the figure: which layers still hold the start of the stream; "" if none do. Pure. */
export function describeStart(state) {
  if (!state.start) return "";
  const { where, one, what } = partsOfStart(state);
  return `${where[0].toUpperCase()}${where.slice(1)} still hold${one ? "s" : ""} ${what}.`;
}

/** The note below the survival curves: that they leave out the start of the stream; "" if no layer holds it. Pure. */
export function describeLeftOut(state) {
  if (!state.start) return "";
  const { where, one, what } = partsOfStart(state);
  return `The curves leave out ${what}, which ${where} keep${one ? "s" : ""} at any age.`;
}

function paintCells(data, { state, palette, mode }) {
  const { meta } = state;
  const seen = seenColumns(state);
  for (let layer = 0; layer < meta.layers; layer += 1) {
    const tier = palette.tiers[meta.tiers[layer]];
    for (let c = 0; c < seen; c += 1) {
      const value = cellValue(state, mode, layer, c);
      if (value === null) continue;
      if (mode === "kept") putCell(data, meta.columns, c, layer, tier, shareAlpha(value));
      else if (value < 0) putCell(data, meta.columns, c, layer, palette.ink, 0.13);
      else if (mode === "answer") putCell(data, meta.columns, c, layer, palette.read, 0.12 + 0.88 * value);
      else putCell(data, meta.columns, c, layer, rampColour(palette.ramp, value), 1);
    }
  }
}

/** Number of rows into which a layer's row is split: one for each head if a word is shown and the row is high enough, else 1. */
export function splitOf({ word, state, ratio = 1 }, height) {
  return word && state.answer?.word && height * ratio >= word.heads ? word.heads : 1;
}

function paintHeads(data, { state, palette, word }) {
  const { meta } = state;
  for (let layer = 0; layer < meta.layers; layer += 1) {
    for (let head = 0; head < word.heads; head += 1) {
      for (let c = 0; c < word.columns; c += 1) {
        const value = headShare(word, layer, head, c) / (word.largest[layer] || 1);
        if (value > 0.02) putCell(data, meta.columns, c, layer * word.heads + head, palette.read, 0.12 + 0.88 * value);
      }
    }
  }
}

function drawCells(ctx, { runs, rows, scale }, view) {
  const { state, palette, ratio, mode } = view;
  const { meta } = state;
  const { first, stop } = scale.window;
  const split = splitOf(view, rows.height);
  const picture = split > 1
    ? cellPicture("heads", meta.columns, meta.layers * split, (data) => paintHeads(data, view))
    : cellPicture("layers", meta.columns, meta.layers, (data) => paintCells(data, view));
  ctx.imageSmoothingEnabled = false;
  for (const run of runs) {
    const top = rows.top(run.first);
    const count = run.last - run.first + 1;
    const height = count * rows.height;
    const width = Math.max(0, Math.min(scale.x(state.frames), scale.left + scale.width) - scale.left);
    ctx.fillStyle = rgba(palette.ink, 0.02);
    ctx.fillRect(scale.left, top, scale.width, height - 1);
    ctx.fillStyle = rgba(palette.ink, 0.045);
    ctx.fillRect(scale.left, top, width, height - 1);
    const from = first / meta.bin;
    ctx.drawImage(picture, from, run.first * split, stop / meta.bin - from, count * split, scale.left, top, scale.width, height);
    if (mode === "kept") overlayPattern(ctx, run.tier, palette, ratio, scale.left, top, width, height - 1);
    ctx.fillStyle = rgba(palette.card, 1);
    for (let layer = run.first; layer <= run.last; layer += 1) {
      ctx.fillRect(scale.left, rows.top(layer) + rows.height - 1, scale.width, 1);
    }
  }
}

function drawBudget(ctx, { rows, gutter, width, narrow }, { state, palette }) {
  const { meta, held } = state;
  if (!held.length) return;
  const room = width - gutter - (narrow ? 4 : 44);
  const most = meta.budget > 0 ? meta.budget : Math.max(...held, 1);
  const reach = meta.budget > 0 ? room * 0.92 : room;
  ctx.textAlign = narrow ? "right" : "left";
  ctx.textBaseline = "top";
  ctx.font = `500 11px ${palette.font}`;
  ctx.fillStyle = rgba(palette.quiet, 1);
  const label = meta.budget > 0 ? `budget ${whole(meta.budget)}` : "no budget";
  ctx.fillText(narrow ? label : `tokens held · ${label}`, narrow ? width : gutter, 5);
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
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(whole(held[layer]), gutter + room + 8, top + rows.height / 2);
  }
  if (meta.budget > 0) {
    ctx.fillStyle = rgba(palette.ink, 0.75);
    for (let y = rows.top(0) - 4; y < rows.bottom + 2; y += 6) ctx.fillRect(gutter + reach, y, 1.5, 3);
  }
}

/** Mark cursor and selection on the overlay canvas. */
export function markLayers(ctx, { scale, rows }, { state, palette, cursor, selected }) {
  const { bin } = state.meta;
  const cell = (at, colour, line) => {
    const x = scale.x(Math.floor(at.frame / bin) * bin);
    const w = Math.max(scale.step * bin, 3);
    if (x + w <= scale.left || x >= scale.left + scale.width) return;
    ctx.fillStyle = rgba(colour, 0.12);
    ctx.fillRect(x, AXIS, w, rows.bottom - AXIS);
    if (at.layer === null || at.layer === undefined) return;
    ctx.strokeStyle = rgba(colour, 1);
    ctx.lineWidth = line;
    ctx.strokeRect(x - 1, rows.top(at.layer) - 1, w + 2, rows.height + 1);
  };
  if (selected && selected.frame < state.frames) cell(selected, palette.focus, 2.5);
  if (cursor && cursor.frame < state.frames) cell(cursor, palette.ink, 2);
}

/** The figure as a table: totals per layer, then one row per column of the window. */
export function tableLayers({ state, window, mode }) {
  const { meta } = state;
  const layers = [...Array(meta.layers).keys()];
  const first = Math.floor(window.first / meta.bin);
  const stop = Math.min(seenColumns(state), Math.ceil(Math.min(window.stop, axisFrames(meta)) / meta.bin));
  const rows = state.held.length ? [["All frames", "", ...state.held.map(whole)]] : []; // the budget bars
  for (let c = first; c < stop; c += 1) {
    const inside = framesIn(state, c);
    const name = inside > 1 ? `${c * meta.bin + 1}–${c * meta.bin + inside}` : `${c * meta.bin + 1}`;
    rows.push([name, clock(secondsOf(state, c * meta.bin), true), ...layers.map((layer) => cellText(state, mode, layer, c))]);
  }
  const budget = meta.budget > 0 ? ` Budget: ${whole(meta.budget)} tokens per layer.` : "";
  return { caption: `${MODES[mode].label}: ${MODES[mode].unit}. All frames: tokens held by the layer.${budget}`, head: ["Frames", "Seen at", ...layers.map((layer) => `Layer ${layerNumber(meta, layer)}`)], rows };
}

function cellText(state, mode, layer, column) {
  if (mode === "kept") return whole(keptTokens(state, layer, column).kept);
  const value = mode === "answer" ? readShare(state, layer, column) : cellValue(state, mode, layer, column);
  if (value === null) return "";
  if (value < 0) return "no score";
  const exact = mode === "answer" ? value : scoreAt(state, layer, column);
  return exact.toFixed(mode === "answer" || mode === "guidance" ? 5 : 3);
}
