// Pointing at a part of the page: it is scrolled into view and gets a ring until something else is pointed at.

const OWN = { player: ".hl-player", chat: ".hl-chat", settings: "#hl-settings", meters: ".hl-meters" };

/** Selectors of the element that a view's name stands for, the most exact first. Pure. */
export function placeOf(view) {
  return OWN[view] ? [`[data-view="${view}"]`, OWN[view]] : [`[data-view="${view}"]`, ".hl-board"];
}

/** Makes the pointer. `show(wish)`: the board selects what is wished for. Returns {at(wish), off()}. */
export function makePointer(show) {
  let ringed = null;
  const off = () => {
    ringed?.classList.remove("hl-pointed");
    ringed = null;
  };
  return {
    off,
    at(wish) {
      off();
      if (!OWN[wish.view]) show(wish);
      const node = placeOf(wish.view).map((selector) => document.querySelector(selector)).find((found) => found && found.offsetParent);
      if (!node) return;
      ringed = node;
      node.classList.add("hl-pointed");
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      node.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    },
  };
}
