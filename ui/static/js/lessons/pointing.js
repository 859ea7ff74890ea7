// Pointing at a part of the page: it is scrolled into view and gets a ring until something else is pointed at.

const OWN = { player: ".hl-player", chat: ".hl-chat", settings: "#hl-settings", meters: ".hl-meters" };

/** Selectors of the element that a view's name stands for, the most exact first. Pure. */
export function placeOf(view) {
  return OWN[view] ? [`[data-view="${view}"]`, OWN[view]] : [`[data-view="${view}"]`, ".hl-board"];
}

const AGAIN_MS = 400;
const PATIENCE_MS = 60_000;

/** Makes the pointer. `show(wish)`: the board selects what is wished for. Returns {at(wish), off()}. */
export function makePointer(show) {
  let ringed = null;
  let again = 0;
  const off = () => {
    clearTimeout(again);
    ringed?.classList.remove("hl-pointed");
    ringed = null;
  };

  /** Ring the first of the places that can be seen; the board's figures come only when something was seen. */
  function ring(places, since) {
    const visible = (selector) => [...document.querySelectorAll(selector)].find((found) => found.offsetParent);
    const node = places.map(visible).find(Boolean);
    if (node && node !== ringed) {
      ringed?.classList.remove("hl-pointed");
      ringed = node;
      node.classList.add("hl-pointed");
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      node.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    }
    if (!node?.matches(places[0]) && performance.now() - since < PATIENCE_MS) again = setTimeout(ring, AGAIN_MS, places, since);
  }

  return {
    off,
    at(wish) {
      off();
      if (!OWN[wish.view]) show(wish);
      const places = placeOf(wish.view);
      ring(OWN[wish.view] ? [places[1]] : places, performance.now());
    },
  };
}
