// The page before Gradio has started: the same parts in a temporary pane with the layout of the page. When Gradio has created its
// components, the parts are moved into them and the pane is removed.
import { h } from "../shared/dom.js";
import { firstRun } from "../runs/replay.js";

/** If Gradio has not started by then, its own page is shown. */
const PATIENCE_MS = 20_000;
/** How long to wait for an element that Gradio renders. */
const RENDER_TIMEOUT_MS = 5_000;
/** The parts in the pane. */
export const EARLY = ["player", "quick", "chat", "memory", "board", "lab"];

/** Properties of the page's components by `elem_id`, from Gradio's configuration; null if any is missing. Pure. */
export function readParts(config) {
  const parts = new Map();
  for (const { props } of Array.isArray(config?.components) ? config.components : []) if (props?.elem_id) parts.set(props.elem_id, props);
  return ["hl-head", ...EARLY.map((name) => `hl-${name}`)].every((id) => parts.has(id)) ? parts : null;
}

/** The moment embedded in the page, if the address opens the page at it; else null. `still`: no autoplay. Pure. */
export function matchingMoment(moment, search, runs, still) {
  const first = moment && firstRun(search, runs);
  if (!first || first.problem || first.id !== moment.run || first.seconds !== moment.seconds) return null;
  return { ...moment, player: { ...moment.player, state: still ? "paused" : "playing" } };
}

function cover(on) {
  document.body.classList.toggle("hl-covered", on);
  const app = /** @type {HTMLElement} */ (document.querySelector("gradio-app"));
  if (app) app.inert = on;
}

/** Resolves when Gradio has rendered an element that matches `selector`, or after a timeout in milliseconds. */
export function rendered(selector, timeout = RENDER_TIMEOUT_MS) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const check = () => {
      if (!document.querySelector(selector)) return;
      watch.disconnect();
      resolve();
    };
    const watch = new MutationObserver(check);
    watch.observe(document.querySelector("gradio-app"), { childList: true, subtree: true });
    setTimeout(() => (watch.disconnect(), resolve()), timeout);
    check();
  }));
}

/**
 * Lay out the pane in `place` and hide Gradio's components. `build(name, element, props)` builds a part.
 * Returns {head, adopt(elements)}: `adopt` moves the parts into Gradio's elements (name -> element).
 */
export function layOut(place, parts, build) {
  const holders = new Map(EARLY.map((name) => [name, h("div", { id: `hl-${name}` })]));
  const head = h("div", {});
  head.innerHTML = parts.get("hl-head").value; // static HTML of the page
  place.className = "gradio-container hl-opening";
  place.replaceChildren(h("div", { class: "hl-opening-page" }, head,
    h("div", { id: "hl-top" }, h("div", {}, holders.get("player"), holders.get("quick")), h("div", {}, holders.get("chat")), h("div", {}, holders.get("memory"))),
    holders.get("board"), holders.get("lab")));
  cover(true);
  for (const [name, holder] of holders) {
    const { props, value } = parts.get(`hl-${name}`);
    build(name, holder, { ...props, value });
  }
  const timeout = setTimeout(cover, PATIENCE_MS, false);
  return {
    head,
    adopt(elements) {
      clearTimeout(timeout);
      const focused = /** @type {HTMLElement} */ (document.activeElement);
      const scrolled = [...place.querySelectorAll("*")].filter((node) => node.scrollTop > 0).map((node) => [node, node.scrollTop]);
      const top = scrollY;
      for (const [name, element] of elements) element.replaceChildren(...holders.get(name).childNodes);
      place.remove();
      cover(false);
      for (const [node, at] of scrolled) node.scrollTop = at; // moving an element resets its scroll position
      scrollTo({ top, behavior: "instant" });
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    },
  };
}
