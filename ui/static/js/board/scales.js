// Ticks of the time axis and movement of the cell cursor. Pure functions.

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];

/** Seconds between two ticks, for at most `most` ticks in `span` seconds. */
export function tickStep(span, most) {
  return STEPS.find((step) => span / step <= most) ?? Math.ceil(span / most / 3600) * 3600;
}

/** The seen column whose time is nearest to `seconds`; -1 before the first frame. */
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

/** Move the cell cursor by a key, within the columns seen so far; null for other keys. */
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
