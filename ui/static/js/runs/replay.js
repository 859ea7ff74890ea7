// Recorded runs in the player: the list to choose from, the address that opens one, and the strip that says what is shown.
import { h, icon, radioKeys, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

export const RUN_SPEEDS = [1, 2, 8, 30];
/** Before a question, so that one sees it come. */
const LEAD_SECONDS = 2;
const SEEK_MS = 150;
const ID = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** What an address asks for: {run, seconds, layer}; what is not said or makes no sense is null. "none" opens no run. Pure. */
export function readLink(search) {
  const asked = new URLSearchParams(search);
  const number = (name, whole) => {
    const text = asked.get(name);
    const value = text === null || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(value) && value >= 0 && (!whole || Number.isInteger(value)) ? value : null;
  };
  const run = asked.get("run");
  return { run: run !== null && ID.test(run) ? run : null, said: run, seconds: number("t"), layer: number("layer", true) };
}

/**
 * Address that opens a run (or a lab run: kind "lab") at a moment and layer. Other parameters of `href` stay. Layers count from 0.
 * Pure.
 * @param {string} href @param {{id: string, seconds: number, layer?: number|null, kind?: string}} place
 */
export function linkTo(href, { id, seconds, layer, kind = "run" }) {
  const url = new URL(href);
  for (const name of ["run", "lab", "t", "layer", "lesson"]) url.searchParams.delete(name);
  url.searchParams.set(kind, id);
  url.searchParams.set("t", String(Math.round(seconds * 10) / 10));
  if (Number.isInteger(layer)) url.searchParams.set("layer", String(layer));
  url.hash = "";
  return url.href;
}

/** Which run the page opens on: {id, seconds, layer, problem}; null where it opens on none. A moment in the address comes before the run's own. Pure. */
export function firstRun(search, runs) {
  const link = readLink(search);
  const asked = new URLSearchParams(search);
  if (link.said === "none" || !runs.length || (link.said === null && (asked.has("lesson") || asked.has("lab")))) return null;
  const known = runs.find((run) => run.id === link.run);
  const problem = link.said !== null && !known ? "The run of this link is not here. This is another one." : null;
  const first = known ?? runs[0];
  const told = known ? link.seconds : null;
  return { id: first.id, seconds: told ?? first.open_at ?? 0, layer: known ? link.layer : null, problem };
}

/** Where to go to see a question being asked, in seconds. Pure. */
export function before(seconds) {
  return Math.max(0, seconds - LEAD_SECONDS);
}

/** The list of runs: choosing one opens it. */
export function runPanel(runs, chosen, open, name = "Recorded runs") {
  const cards = runs.map((run) => h("button", {
    type: "button", role: "radio", class: "hl-clip", "aria-checked": String(run.id === chosen), title: run.about,
    onclick: () => {
      cards.forEach((card, i) => card.setAttribute("aria-checked", String(runs[i].id === run.id)));
      roam();
      open(run.id);
    },
  }, run.poster ? h("img", { src: run.poster, alt: "" }) : h("span", { class: "hl-clip-blank" }),
  h("span", {}, run.title, h("b", {}, clock(run.seconds))), h("small", {}, run.about)));
  const group = h("div", { class: "hl-clips", role: "radiogroup", "aria-label": name }, cards);
  const roam = radioKeys(group);
  return group;
}

const STRIP_WORDS = {
  badge: "Recorded run", position: "Position in the run", live: "Start this clip live", why: "Leave the recorded run and stream the same clip through the model now",
};

/** The strip below the picture. `kit`: {seek(seconds), live(clip), link(run, seconds), words}. Returns {root, slider, draw(view)}. */
export function makeStrip({ seek, live, link, words = STRIP_WORDS }) {
  const range = h("input", { type: "range", min: "0", step: "0.5", value: "0", class: "hl-seek", "aria-label": words.position });
  const marks = h("div", { class: "hl-marks", "aria-hidden": "true" });
  const slider = h("div", { class: "hl-slider", hidden: true }, range, marks);
  const label = h("p", { class: "hl-run-label" }, h("span", { class: "hl-badge" }, words.badge), h("span"));
  const title = h("h2", { class: "hl-run-title" });
  const about = h("p", { class: "hl-run-about" });
  const look = h("p", { class: "hl-run-look" });
  const copy = h("button", { type: "button", class: "hl-link" }, icon("link"), h("span", {}, "Copy link to this moment"));
  const start = h("button", { type: "button", class: "hl-link", title: words.why }, icon("play"), h("span", {}, words.live));
  const address = h("input", { type: "text", class: "hl-address", readonly: true, hidden: true, "aria-label": "Link to this moment" });
  const said = h("span", { class: "hl-run-said", role: "status" });
  const root = h("div", { class: "hl-run", hidden: true }, label, title, about, look, h("div", { class: "hl-run-buttons" }, copy, start, said), address);
  let held = false;
  let sent = 0;
  let timer = null;
  let run = null;

  const tell = (last) => {
    clearTimeout(timer);
    const wait = last ? 0 : Math.max(0, SEEK_MS - (performance.now() - sent));
    timer = setTimeout(() => {
      sent = performance.now();
      seek(Number(range.value));
    }, wait);
  };
  const speak = (seconds) => range.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(run?.seconds ?? 0)}`);
  range.addEventListener("input", () => {
    held = true;
    speak(Number(range.value));
    tell(false);
  });
  range.addEventListener("change", () => {
    tell(true);
    setTimeout(() => { held = false; }, 400);
  });
  copy.addEventListener("click", async () => {
    const url = link(run, Number(range.value));
    address.value = url;
    try {
      await navigator.clipboard.writeText(url);
      address.hidden = true;
      setText(said, "Copied.");
    } catch { // not allowed here: show it, to be copied by hand
      address.hidden = false;
      address.select();
      setText(said, "Copy it from the field below.");
    }
    setTimeout(() => setText(said, ""), 4000);
  });
  start.addEventListener("click", () => run && live(run.clip));

  return {
    root,
    slider,
    draw(view) {
      const next = view?.run ?? null;
      root.hidden = slider.hidden = next === null;
      if (next === null) return;
      if (run?.title !== next.title || run?.label !== next.label) {
        setText(title, next.title);
        setText(about, next.about);
        look.replaceChildren(...(next.look ? [h("strong", {}, "Look at this: "), next.look] : []));
        setText(label.lastChild, next.label);
        range.max = String(next.seconds);
        marks.replaceChildren(...next.stops.map((stop) => h("i", { style: `left: ${(100 * stop.at) / Math.max(next.seconds, 1e-9)}%` })));
        address.hidden = true;
      }
      run = next;
      copy.hidden = !run.id;
      start.hidden = !run.clip;
      if (held) return;
      range.value = String(view.position ?? 0);
      range.style.setProperty("--hl-share", `${(100 * (view.position ?? 0)) / Math.max(run.seconds, 1e-9)}%`);
      speak(view.position ?? 0);
    },
  };
}
