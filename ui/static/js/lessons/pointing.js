// Highlights a part of the page: scrolls it into view and draws a ring around it.

const OUTSIDE_BOARD = { player: ".hl-player", chat: ".hl-chat", settings: "#hl-controls", meters: ".hl-meters" };

/** Selectors of a view's element, the most specific first. Pure. */
export function placeOf(view) {
  return OUTSIDE_BOARD[view] ? [`[data-view="${view}"]`, OUTSIDE_BOARD[view]] : [`[data-view="${view}"]`, ".hl-board"];
}

const RETRY_MS = 400;
const TIMEOUT_MS = 60_000;

/** Create the highlighter. `show(target)` selects the target on the board. Returns {at(target, scroll), off()}. */
export function makePointer(show) {
  let ringed = null;
  let retryTimer = 0;
  const off = () => {
    clearTimeout(retryTimer);
    ringed?.classList.remove("hl-pointed");
    ringed = null;
  };

  /** Highlight the first visible element. Retry until the most specific one appears, as figures are hidden before the first frame. */
  function ring(places, since, scroll) {
    const visible = (selector) => [...document.querySelectorAll(selector)].find((found) => found.offsetParent);
    const node = places.map(visible).find(Boolean);
    if (node && node !== ringed) {
      ringed?.classList.remove("hl-pointed");
      ringed = node;
      node.classList.add("hl-pointed");
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (scroll) node.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    }
    if (!node?.matches(places[0]) && performance.now() - since < TIMEOUT_MS) retryTimer = setTimeout(ring, RETRY_MS, places, since, scroll);
  }

  return {
    off,
    /** Highlight a target. Without `scroll`, the page stays where it is, so that the memory remains in view. */
    at(target, scroll = true) {
      off();
      const { view, ...place } = target;
      if (!OUTSIDE_BOARD[view] || view === "settings") show(scroll ? target : place);
      const places = placeOf(view);
      ring(OUTSIDE_BOARD[view] ? [places[1]] : places, performance.now(), scroll);
    },
  };
}
