// The page before Gradio is there: the same parts, built as soon as the script runs, in a pane that looks as the page will.
// When Gradio has made its components, they take the parts over as they are, and the pane goes.
import { h } from "../shared/dom.js";
import { firstRun } from "../runs/replay.js";

/** If Gradio has not come by then, its own page is uncovered, with whatever it has to say. */
const PATIENCE_MS = 20_000;
/** So long the page stays as it is when all parts are there but the settings box between them is not. */
const LATE_BOX_MS = 5_000;
/** The parts that stand in the pane. */
export const EARLY = ["player", "chat", "tryit", "board"];

/** Properties of the page's components by `elem_id`, from Gradio's configuration; null where it is of another form. Pure. */
export function readParts(config) {
  const parts = new Map();
  for (const { props } of Array.isArray(config?.components) ? config.components : []) if (props?.elem_id) parts.set(props.elem_id, props);
  return ["hl-head", "hl-settings", ...EARLY.map((name) => `hl-${name}`)].every((id) => parts.has(id)) ? parts : null;
}

/** The moment that came with the page, if the address opens the page there; else null. `calm`: nothing plays of itself. Pure. */
export function fitting(moment, search, runs, calm) {
  const first = moment && firstRun(search, runs);
  if (!first || first.problem || first.id !== moment.run || first.seconds !== moment.seconds) return null;
  return { ...moment, player: { ...moment.player, state: calm ? "paused" : "playing" } };
}

function cover(on) {
  document.body.classList.toggle("hl-covered", on);
  const app = /** @type {HTMLElement} */ (document.querySelector("gradio-app"));
  if (app) app.inert = on;
}

/** Settled once Gradio has drawn what `selector` names; each of its components comes when its own program has loaded. */
export function drawn(selector) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector(selector)) return;
      watch.disconnect();
      resolve();
    };
    const watch = new MutationObserver(look);
    watch.observe(document.querySelector("gradio-app"), { childList: true, subtree: true });
    setTimeout(() => (watch.disconnect(), resolve()), LATE_BOX_MS);
    look();
  }));
}

/**
 * Lay the pane out in `place` and hide what Gradio builds meanwhile. `build(name, element, props)` builds a part.
 * Returns {head, adopt(elements)}: `adopt` moves the parts into Gradio's elements (name -> element).
 */
export function layOut(place, parts, build) {
  const holders = new Map(EARLY.map((name) => [name, h("div", { id: `hl-${name}` })]));
  const head = h("div", {});
  head.innerHTML = parts.get("hl-head").value; // the page's own words
  const settings = h("div", { id: "hl-settings" }, h("div", { class: "label-wrap" }, h("span", {}, parts.get("hl-settings").label)));
  place.className = "gradio-container hl-opening";
  place.replaceChildren(h("div", { class: "hl-opening-page" }, head,
    h("div", { id: "hl-top" }, h("div", {}, holders.get("player")), h("div", {}, holders.get("chat"))),
    settings, holders.get("tryit"), holders.get("board")));
  cover(true);
  for (const [name, holder] of holders) build(name, holder, parts.get(`hl-${name}`).props);
  const giveUp = setTimeout(cover, PATIENCE_MS, false);
  return {
    head,
    adopt(elements) {
      clearTimeout(giveUp);
      const focused = /** @type {HTMLElement} */ (document.activeElement);
      const scrolled = [...place.querySelectorAll("*")].filter((node) => node.scrollTop > 0).map((node) => [node, node.scrollTop]);
      const top = scrollY;
      for (const [name, element] of elements) element.replaceChildren(...holders.get(name).childNodes);
      place.remove();
      cover(false);
      for (const [node, at] of scrolled) node.scrollTop = at; // moving an element takes its place in its list away
      scrollTo({ top, behavior: "instant" });
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    },
  };
}
