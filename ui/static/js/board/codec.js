// The board's state in the browser and the decoding of server messages. Pure functions without DOM or drawing.
// A message is a key frame (`base` is null) or a difference to the message numbered `base`.

/** Names of the tiers; the last one is for policies without tiers. */
export const TIERS = ["sensory", "working", "long-term", "all layers"];

/** Byte of a cell without a score. */
export const NO_SCORE = 255;

/** Decode base64 text to bytes. */
export function fromBase64(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) out[i] = raw.charCodeAt(i);
  return out;
}

/** Decode base64 text to little-endian numbers. */
export function numbers(text, Type) {
  const data = fromBase64(text);
  return new Type(data.buffer, 0, Math.floor(data.byteLength / Type.BYTES_PER_ELEMENT));
}

/** The state before the first frame. */
export function emptyState() {
  return {
    seq: null, meta: null, frames: 0, kept: null, times: new Float32Array(0),
    held: [], start: null, history: [], events: new Map(), answer: null, thumbs: new Map(), meters: null, scores: null, film: null, marks: [],
  };
}

/**
 * Apply one message. Return the new state, or null if a message is missing in between: the caller then requests a key
 * frame. The state object is new; its arrays are reused.
 */
export function apply(state, message) {
  const key = message.base === null;
  if (!key && (state.seq === null || message.base !== state.seq)) return null;
  const next = key ? { ...emptyState(), thumbs: message.keep_thumbs ? state.thumbs : new Map() } : { ...state };
  next.seq = message.seq;
  if (message.meta) {
    next.meta = message.meta;
    if (key) {
      next.kept = new Uint8Array(message.meta.layers * message.meta.columns);
      next.times = new Float32Array(message.meta.columns).fill(NaN);
    }
  }
  if (!next.meta) return null;
  next.frames = message.frames ?? next.frames;
  if (message.columns) patchColumns(next, message.columns);
  if (message.held) next.held = message.held;
  if (message.start !== undefined) next.start = message.start;
  if (message.history) next.history = patchHistory(next.history, message.history);
  if (message.events) next.events = patchEvents(next.events, message.events);
  if (message.scores) next.scores = patchScores(next, message.scores);
  if (message.film) next.film = patchFilm(next, message.film);
  if (message.answer !== undefined) next.answer = readAnswer(message.answer);
  if (message.thumbs) {
    next.thumbs = new Map(next.thumbs);
    for (const [frame, jpeg] of Object.entries(message.thumbs)) next.thumbs.set(Number(frame), jpeg);
  }
  if (message.marks) next.marks = message.marks.map(([frame, text]) => ({ frame, text }));
  if (message.meters) next.meters = message.meters;
  return next;
}

function patchColumns(state, patch) {
  const index = numbers(patch.index, Uint16Array);
  const values = fromBase64(patch.values);
  const times = numbers(patch.times, Float32Array);
  const { layers, columns } = state.meta;
  for (let i = 0; i < index.length; i += 1) {
    for (let layer = 0; layer < layers; layer += 1) state.kept[layer * columns + index[i]] = values[i * layers + layer];
    state.times[index[i]] = times[i];
  }
}

function patchHistory(history, rows) {
  const next = history.slice();
  for (const row of rows) next[row.at] = fromBase64(row.values);
  return next;
}

function patchEvents(events, rows) {
  const next = new Map(events);
  for (const [at, evictions, seconds, sensory, working, longTerm, all, merged, reindexed, summaries] of rows) {
    next.set(at, { at, evictions, seconds, evicted: [sensory, working, longTerm, all], merged, reindexed, summaries });
  }
  return next;
}

function patchScores(state, patch) {
  const { layers, columns } = state.meta;
  const values = patch.fresh || !state.scores ? new Uint8Array(layers * columns).fill(NO_SCORE) : state.scores.values;
  const index = numbers(patch.index, Uint16Array);
  const bytes = fromBase64(patch.values);
  for (let i = 0; i < index.length; i += 1) {
    for (let layer = 0; layer < layers; layer += 1) values[layer * columns + index[i]] = bytes[i * layers + layer];
  }
  return { of: patch.of, values, least: patch.least, largest: patch.largest };
}

function patchFilm(state, patch) {
  const { groups, grid } = state.meta;
  const size = groups.length * grid[0] * grid[1];
  const bytes = fromBase64(patch.values);
  const masks = new Map(patch.fresh || !state.film ? [] : state.film.masks);
  const shown = new Map(patch.fresh || !state.film ? [] : state.film.shown);
  patch.index.forEach((picture, i) => {
    masks.set(picture, bytes.subarray(i * size, (i + 1) * size));
    shown.set(picture, patch.shown[i]);
  });
  return { first: patch.first, size: patch.size, masks, shown };
}

function readAnswer(answer) {
  return answer && { ...answer, attention: fromBase64(answer.attention) };
}

/** Number of columns with at least one frame. */
export function seenColumns(state) {
  return state.meta ? Math.ceil(state.frames / state.meta.bin) : 0;
}

/** Number of frames in a column; the newest column may be partly filled. */
export function framesIn(state, column) {
  const { bin } = state.meta;
  return Math.max(0, Math.min(bin, state.frames - column * bin));
}

/** Tokens of a column that a layer still holds (`kept`) out of those seen (`of`). Counts are rounded above 255 tokens per column. */
export function keptTokens(state, layer, column) {
  const { columns, bin, tokens_per_frame: per } = state.meta;
  const raw = state.kept[layer * columns + column];
  const of = framesIn(state, column) * per;
  const full = bin * per;
  const kept = full <= 255 ? raw : Math.round((raw * full) / 255);
  return { kept: Math.min(kept, of), of, exact: full <= 255 };
}

/** Share of a column's tokens that a layer still holds, 0 to 1. */
export function keptShare(state, layer, column) {
  const { kept, of } = keptTokens(state, layer, column);
  return of ? kept / of : 0;
}

/** Score of a cell, 0 to 1 (guidance: share of the layer's guidance attention); null without a score. */
export function scoreAt(state, layer, column) {
  const { scores, meta } = state;
  const raw = scores ? scores.values[layer * meta.columns + column] : NO_SCORE;
  return raw === NO_SCORE ? null : scores.least[layer] + (raw / 254) * (scores.largest[layer] - scores.least[layer]);
}

const ranksOf = new WeakMap();

/**
 * Rank of a cell's score among the scored cells of its layer, from 0 (lowest) to 1 (highest); equal scores share their mean rank.
 * Null without a score.
 */
export function rankAt(state, layer, column) {
  const { scores, meta } = state;
  const raw = scores ? scores.values[layer * meta.columns + column] : NO_SCORE;
  if (raw === NO_SCORE) return null;
  if (!ranksOf.has(scores)) ranksOf.set(scores, []);
  const tables = ranksOf.get(scores);
  tables[layer] ??= rankTable(scores.values.subarray(layer * meta.columns, (layer + 1) * meta.columns));
  return tables[layer][raw];
}

/** Rank of every byte among the scores of a layer, 0 to 1. */
function rankTable(values) {
  const counts = new Uint32Array(255);
  let scored = 0;
  for (const raw of values) {
    if (raw === NO_SCORE) continue;
    counts[raw] += 1;
    scored += 1;
  }
  const table = new Float32Array(255);
  let below = 0;
  counts.forEach((count, raw) => {
    table[raw] = scored > 1 ? (below + (count - 1) / 2) / (scored - 1) : 1;
    below += count;
  });
  return table;
}

/** Number of frames on the whole time axis. */
export function axisFrames(meta) {
  return meta.columns * meta.bin;
}

/** Stream time of a frame in seconds, interpolated between the first frames of the columns. */
export function secondsOf(state, frame) {
  const { times, meta } = state;
  const seen = seenColumns(state);
  const column = Math.min(Math.floor(frame / meta.bin), seen - 1);
  if (column < 0) return NaN;
  const mean = seen > 1 ? (times[seen - 1] - times[0]) / (seen - 1) : meta.bin / meta.fps;
  const step = column + 1 < seen ? times[column + 1] - times[column] : mean;
  return times[column] + ((frame - column * meta.bin) / meta.bin) * step;
}

/** Share of a layer's attention on a column during the last answer, 0 to 1; null without an answer. */
export function readShare(state, layer, column) {
  const { answer, meta } = state;
  if (!answer || column >= answer.columns) return null;
  return (answer.attention[layer * answer.columns + column] / 255) * answer.largest[layer < meta.layers ? layer : 0];
}

/** The answer's attention per column, mean over all layers. */
export function readProfile(state) {
  const { answer, meta } = state;
  if (!answer) return new Float32Array(0);
  const out = new Float32Array(answer.columns);
  for (let layer = 0; layer < meta.layers; layer += 1) {
    for (let c = 0; c < answer.columns; c += 1) {
      out[c] += ((answer.attention[layer * answer.columns + c] / 255) * answer.largest[layer]) / meta.layers;
    }
  }
  return out;
}

/** Number of a layer in the decoder: layers without tokens are not shown, but counted. */
export function layerNumber(meta, layer) {
  return meta.numbers?.[layer] ?? layer;
}

/** Runs of consecutive layers of one tier: [{tier, first, last}]. */
export function tierRuns(tiers) {
  const runs = [];
  tiers.forEach((tier, layer) => {
    const last = runs[runs.length - 1];
    if (last && last.tier === tier) last.last = layer;
    else runs.push({ tier, first: layer, last: layer });
  });
  return runs;
}
