// The attention while one word of an answer was generated, by layer and head, and how the board's figures show it. Pure functions.
import { NO_SCORE, fromBase64 } from "../board/codec.js";

/** Most attended moments that are outlined. */
const PEAKS = 3;
/** Least share of the largest one at which another moment is outlined. */
const PEAK_SHARE = 0.3;

/** Decode the server's reply: values [layers, heads, columns] relative to the largest of their layer. */
export function readWord(reply, text) {
  const { layers, heads, columns, bin, largest } = reply;
  const bytes = fromBase64(reply.values);
  const mean = new Float32Array(layers * columns);
  for (let layer = 0; layer < layers; layer += 1) {
    for (let head = 0; head < heads; head += 1) {
      const from = (layer * heads + head) * columns;
      for (let c = 0; c < columns; c += 1) mean[layer * columns + c] += (share(bytes[from + c]) * largest[layer]) / heads;
    }
  }
  const top = [...Array(layers).keys()].map((layer) => Math.max(...mean.subarray(layer * columns, (layer + 1) * columns), 0));
  const attention = mean.map((value, i) => (value / (top[Math.floor(i / columns)] || 1)) * 255);
  return { text, layers, heads, columns, bin, bytes, largest, attention: Uint8Array.from(attention, Math.round), top, peaks: peaksOf(mean, layers, columns) };
}

function share(byte) {
  return byte === NO_SCORE ? 0 : byte / 254;
}

/** The columns with the most attention, mean over all layers, with some distance between them. */
function peaksOf(mean, layers, columns) {
  const profile = new Float32Array(columns);
  for (let i = 0; i < mean.length; i += 1) profile[i % columns] += mean[i] / layers;
  const found = [];
  const most = Math.max(...profile, 0);
  const apart = Math.max(2, Math.round(columns / 30));
  while (found.length < PEAKS) {
    let best = -1;
    profile.forEach((value, c) => {
      if (value > 0 && value >= most * PEAK_SHARE && !found.some((other) => Math.abs(other - c) < apart) && (best < 0 || value > profile[best])) best = c;
    });
    if (best < 0) break;
    found.push(best);
  }
  return found;
}

/** Attention of one head on a column, as a share of that head's attention. */
export function headShare(word, layer, head, column) {
  if (column >= word.columns) return 0;
  return share(word.bytes[(layer * word.heads + head) * word.columns + column]) * word.largest[layer];
}

/** The head of a layer that attended to a column most: {head, share}. */
export function topHead(word, layer, column) {
  let best = { head: 0, share: -1 };
  for (let head = 0; head < word.heads; head += 1) {
    const found = headShare(word, layer, head, column);
    if (found > best.share) best = { head, share: found };
  }
  return best;
}

/** The view in which the figures show the word that the visitor points at; the view itself if there is none. */
export function withWord(view) {
  const { word, state } = view;
  if (!word || !state.meta || word.bin !== state.meta.bin || word.layers !== state.meta.layers) return view;
  const moments = word.peaks.filter((c) => Number.isFinite(state.times[c])).map((c) => ({ frames: [c * word.bin, (c + 1) * word.bin] }));
  const answer = { rest: null, peaks: [], ...state.answer, columns: word.columns, attention: word.attention, largest: word.top, verdict: { moments }, word: word.text };
  const heads = view.heads && {
    layer: view.heads.layer, heads: word.heads, frames: word.columns, bin: word.bin, largest: Array(word.heads).fill(word.largest[view.heads.layer]),
    bytes: word.bytes.subarray(view.heads.layer * word.heads * word.columns, (view.heads.layer + 1) * word.heads * word.columns),
  };
  return { ...view, mode: "answer", state: { ...state, answer }, heads };
}
