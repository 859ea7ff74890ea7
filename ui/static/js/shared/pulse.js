// Polling of the lab's state: four times per second while it changes, once per second when idle, and every three seconds in a hidden
// tab, which also shows that the visitor is still connected. There is at most one request at a time.

export const BUSY_MS = 250;
export const IDLE_MS = 1000;
export const HIDDEN_MS = 3000;
export const LOST_MS = 6000;

/** Milliseconds until the next poll. */
export function pause(view, hidden) {
  if (hidden) return HIDDEN_MS;
  const busy = view && (view.state === "playing" || view.answering || view.loading);
  return busy ? BUSY_MS : IDLE_MS;
}

/** Poll with `ask()`; the page calls `heard(view)` for each reply. A request without a reply is repeated. */
export function makePulse(ask, clockwork = window, isHidden = () => document.hidden) {
  let timer = null;
  const beat = () => {
    clockwork.clearTimeout(timer);
    timer = clockwork.setTimeout(beat, LOST_MS);
    ask();
  };
  return {
    start: beat,
    now: beat,
    heard(view) {
      clockwork.clearTimeout(timer);
      timer = clockwork.setTimeout(beat, pause(view, isHidden()));
    },
  };
}
