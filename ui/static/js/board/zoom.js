// The window of frames shown by filmstrip and heatmap, from the whole stream down to one frame. Pure functions.

/** Shortest time axis in frames, and the factor by which it grows: at most an eighth of a longer axis is empty. */
const SHORTEST = 16;
const GROWTH = 9 / 8;

/** Length of the shown time axis: it grows in small steps with the frames seen, without room for the rest of the stream. Pure. */
export function grownAxis(frames, axis) {
  let length = SHORTEST;
  while (length < frames) length = Math.ceil(length * GROWTH);
  return Math.min(axis, length);
}

/** A window over the whole axis of `axis` frames; it grows with the stream. */
export function wholeWindow(axis) {
  return { first: 0, stop: Math.max(1, axis), whole: true };
}

/** A window of `span` frames starting at `first`, clamped to the axis; if it covers the axis, it is the whole window. */
export function windowAt(first, span, axis) {
  const size = Math.max(1, Math.min(Math.round(span), axis));
  if (size >= axis) return wholeWindow(axis);
  const start = Math.max(0, Math.min(Math.round(first), axis - size));
  return { first: start, stop: start + size, whole: false };
}

/** Zoom by a factor (below 1 zooms in) around `frame`. */
export function zoomAt(window, factor, frame, axis) {
  const span = window.stop - window.first;
  let next = Math.max(1, Math.round(span * factor));
  if (next === span && factor !== 1) next = Math.max(1, span + (factor < 1 ? -1 : 1));
  const share = span > 1 ? (frame - window.first) / span : 0.5;
  return windowAt(frame - share * next, next, axis);
}

/** Move the window by a fraction of its width. */
export function panBy(window, share, axis) {
  const span = window.stop - window.first;
  const step = Math.sign(share) * Math.max(1, Math.round(Math.abs(share) * span));
  return windowAt(window.first + step, span, axis);
}

/** The window, moved if necessary so that it contains `frame`. */
export function reveal(window, frame, axis) {
  if (frame >= window.first && frame < window.stop) return window;
  const span = window.stop - window.first;
  return windowAt(frame - span / 2, span, axis);
}

/** The window on an axis that may have grown. */
export function fitWindow(window, axis) {
  return window === null || window.whole ? wholeWindow(axis) : windowAt(window.first, window.stop - window.first, axis);
}

/** A scale from the frames of a window to [left, left + width) pixels. */
export function frameScale(window, left, width) {
  const span = window.stop - window.first;
  return {
    left, width, window, step: width / span,
    x: (frame) => left + ((frame - window.first) / span) * width,
    frame: (x) => Math.max(window.first, Math.min(window.stop - 1, Math.floor(window.first + ((x - left) / width) * span))),
    contains: (x) => x >= left && x < left + width,
  };
}

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];

/** Ticks at round stream times in a window: [{frame, seconds}], at most about `most`. `secondsOf(frame)` must increase. */
export function windowTicks(window, secondsOf, most) {
  const from = secondsOf(window.first);
  const to = secondsOf(window.stop);
  if (!(to > from)) return [];
  const step = STEPS.find((s) => (to - from) / s <= most) ?? Math.ceil((to - from) / most / 3600) * 3600;
  const ticks = [];
  for (let k = Math.ceil(from / step - 1e-6) || 0; k * step < to; k += 1) {
    let low = window.first;
    let high = window.stop;
    while (high - low > 1e-3) { // times are piecewise linear: bisect
      const middle = (low + high) / 2;
      if (secondsOf(middle) < k * step) low = middle;
      else high = middle;
    }
    ticks.push({ frame: high, seconds: k * step });
  }
  return ticks;
}

/** Describe the window; `size` is the number of frames per thumbnail. */
export function describeWindow(window, size) {
  const span = window.stop - window.first;
  const range = window.whole ? "the whole stream" : span === 1 ? `frame ${window.first + 1}` : `frames ${window.first + 1}–${window.stop}`;
  return `Showing ${range}.${size > 1 ? ` Each picture represents ${size} frames and shows the one that is best preserved.` : ""}`;
}
