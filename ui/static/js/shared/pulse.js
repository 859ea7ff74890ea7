// When the lab asks the server for its state: four times a second while something moves, once a second when idle, every three
// seconds in a hidden tab (which also says that the visitor is still there). Never two requests at once.

export const BUSY_MS = 250;
export const IDLE_MS = 1000;
export const HIDDEN_MS = 3000;
export const LOST_MS = 6000;

/** Milliseconds until the next request. */
export function pause(view, hidden) {
  if (hidden) return HIDDEN_MS;
  const busy = view && (view.state === "playing" || view.answering || view.loading);
  return busy ? BUSY_MS : IDLE_MS;
}

/** Calls `ask()`; the page calls `heard(view)` when an answer arrived. A request without answer is repeated. */
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
