// From columns and layers to pixels and back, and the ticks of the time axis. Pure functions.

/** A scale from [0, count) columns onto [left, left + width) pixels. */
export function columnScale(count, left, width) {
  const step = width / Math.max(count, 1);
  return {
    count, left, width, step,
    x: (column) => left + column * step,
    column: (x) => Math.max(0, Math.min(count - 1, Math.floor((x - left) / step))),
    contains: (x) => x >= left && x < left + width,
  };
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];

/** Seconds between two ticks so that at most `most` fall into `span` seconds. */
export function tickStep(span, most) {
  return STEPS.find((step) => span / step <= most) ?? Math.ceil(span / most / 3600) * 3600;
}

/**
 * Ticks of the time axis: [{column, seconds}]. Columns not yet seen get their time from the rate of those that were
 * (`rate`: columns a second), so that the axis of a clip is complete from its first frame.
 */
export function timeTicks(times, seen, columns, rate, most) {
  if (!seen || !(rate > 0)) return [];
  const start = times[0];
  const at = (column) => (column < seen && Number.isFinite(times[column]) ? times[column]
    : times[seen - 1] + (column - seen + 1) / rate);
  const span = at(columns - 1) - start;
  const step = tickStep(Math.max(span, 1e-9), most);
  const ticks = [];
  let column = 0;
  for (let s = Math.ceil(start / step) * step; s <= start + span + 1e-6; s += step) {
    while (column < columns - 1 && at(column) < s - 1e-6) column += 1;
    ticks.push({ column, seconds: s });
  }
  return ticks;
}

/** Columns a second, measured on the columns seen; `fallback` before there are two. */
export function columnRate(times, seen, fallback) {
  if (seen < 2) return fallback;
  const span = times[seen - 1] - times[0];
  return span > 0 ? (seen - 1) / span : fallback;
}

/** Column whose time is nearest to `seconds`, of those seen; -1 before the first. */
export function nearestColumn(times, seen, seconds) {
  let best = -1;
  let distance = Infinity;
  for (let c = 0; c < seen; c += 1) {
    const d = Math.abs(times[c] - seconds);
    if (d < distance) {
      distance = d;
      best = c;
    }
  }
  return best;
}

/** Move the cell cursor by a key; null where the key means nothing here. Kept inside what was seen. */
export function moveCursor(cursor, key, shift, seen, layers) {
  if (!seen) return null;
  const from = cursor ?? { column: seen - 1, layer: 0 };
  const jump = shift ? 10 : 1;
  const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
  const moves = {
    ArrowLeft: { column: from.column - jump, layer: from.layer },
    ArrowRight: { column: from.column + jump, layer: from.layer },
    ArrowUp: { column: from.column, layer: from.layer - (shift ? 5 : 1) },
    ArrowDown: { column: from.column, layer: from.layer + (shift ? 5 : 1) },
    Home: { column: 0, layer: from.layer },
    End: { column: seen - 1, layer: from.layer },
    PageUp: { column: from.column, layer: 0 },
    PageDown: { column: from.column, layer: layers - 1 },
  };
  const to = moves[key];
  return to ? { column: clamp(to.column, seen), layer: clamp(to.layer, layers) } : null;
}
