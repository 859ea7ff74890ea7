// Recorded runs in the player: their list, links to them, and the strip with slider, title and links.
import { h, icon, radioKeys, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

export const RUN_SPEEDS = [1, 2, 8, 30];
/** Seconds before a question to which a click on it seeks. */
const LEAD_SECONDS = 2;
const SEEK_MS = 150;
/** Width of the slider's thumb in pixels. */
const THUMB = 16;
const ID = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Parameters of an address: {run, name, seconds, layer}; missing or invalid ones are null. `name` is the unchecked name of the run. Pure. */
export function readLink(search) {
  const params = new URLSearchParams(search);
  const number = (name, whole) => {
    const text = params.get(name);
    const value = text === null || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(value) && value >= 0 && (!whole || Number.isInteger(value)) ? value : null;
  };
  const run = params.get("run");
  return { run: run !== null && ID.test(run) ? run : null, name: run, seconds: number("t"), layer: number("layer", true) };
}

/**
 * Address that opens a run (or a lab run with kind "lab") at a moment and layer. Other parameters of `href` are kept. Layers count
 * from 0. Pure.
 * @param {string} href @param {{id: string, seconds: number, layer?: number|null, kind?: string}} place
 */
export function linkTo(href, { id, seconds, layer, kind = "run" }) {
  const url = new URL(href);
  for (const name of ["run", "lab", "t", "layer", "lesson", "view"]) url.searchParams.delete(name);
  url.searchParams.set(kind, id);
  url.searchParams.set("t", String(Math.round(seconds * 10) / 10));
  if (Number.isInteger(layer)) url.searchParams.set("layer", String(layer));
  url.hash = "";
  return url.href;
}

/** The run that the page opens with, {id, seconds, layer, problem}, or null. A time in the address takes precedence over the run's own. Pure. */
export function firstRun(search, runs) {
  const link = readLink(search);
  const params = new URLSearchParams(search);
  if (link.name === "none" || !runs.length || (link.name === null && (params.has("lesson") || params.has("lab")))) return null;
  const known = runs.find((run) => run.id === link.run);
  const problem = link.name !== null && !known ? "The run in this link is not available here. This is a different one." : null;
  const first = known ?? runs[0];
  const seconds = known ? link.seconds : null;
  return { id: first.id, seconds: seconds ?? first.open_at ?? 0, layer: known ? link.layer : null, problem };
}

/** Seek target of a question, in seconds. Pure. */
export function before(seconds) {
  return Math.max(0, seconds - LEAD_SECONDS);
}

/** The list of runs; selecting one opens it. */
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
  badge: "Recorded run", position: "Position in the run", live: "Run it live", why: "Close the recording and stream the same clip through the model now",
};

/**
 * Build the strip below the picture. `kit`: {seek(seconds), live(clip), link(run, seconds), words, titled, point(seconds), compare(clip)};
 * with `titled` the title is visible; `point` is called with the moment under the pointer, or null; with `compare` a button compares
 * methods on the run's clip. Returns {root, slider, hint, draw(view), mark(seconds)}; `hint` says what to look at.
 */
export function makeStrip({ seek, live, link, words = STRIP_WORDS, titled = false, point = (_seconds) => {}, compare = null }) {
  const range = h("input", { type: "range", min: "0", step: "0.5", value: "0", class: "hl-seek", "aria-label": words.position });
  const marks = h("div", { class: "hl-marks", "aria-hidden": "true" });
  const cursor = h("i", { class: "hl-cursor", hidden: true, "aria-hidden": "true" });
  const slider = h("div", { class: "hl-slider", hidden: true }, range, marks, cursor);
  const secondsAt = (event) => ((event.offsetX - THUMB / 2) / Math.max(1, range.clientWidth - THUMB)) * Number(range.max);
  range.addEventListener("pointermove", (event) => point(Math.max(0, secondsAt(event))));
  range.addEventListener("pointerleave", () => point(null));
  const badge = h("span", { class: "hl-badge hl-run-badge" }, words.badge);
  const label = h("p", { class: "hl-run-label" });
  const title = h("h2", { class: `hl-run-title${titled ? "" : " hl-hidden"}` });
  const about = h("p", { class: "hl-run-about" });
  const hint = h("p", { class: "hl-run-look" });
  const copy = h("button", { type: "button", class: "hl-link", "aria-label": "Copy link to this moment", title: "Copy link to this moment" }, icon("link"), h("span", {}, "Copy link"));
  const start = h("button", { type: "button", class: "hl-link", title: words.why }, icon("play"), h("span", {}, words.live));
  const address = h("input", { type: "text", class: "hl-address", readonly: true, hidden: true, "aria-label": "Link to this moment" });
  const message = h("span", { class: "hl-run-message", role: "status" });
  const methods = compare ? h("button", { type: "button", class: "hl-link", title: "Compare methods on this video", onclick: () => run && compare(run.clip) }, icon("columns"), h("span", {}, "Compare methods")) : null;
  const buttons = h("div", { class: "hl-run-buttons" }, badge, copy, start, message);
  const more = h("details", { class: "hl-run-more" }, h("summary", { class: "hl-link" }, "About this recording"), h("div", {}, about, label));
  const root = h("div", { class: "hl-run", hidden: true }, title, hint, buttons, address, h("div", { class: "hl-run-foot" }, methods, more));
  let dragging = false;
  let sentAt = 0;
  let timer = null;
  let run = null;

  const requestSeek = (last) => {
    clearTimeout(timer);
    const wait = last ? 0 : Math.max(0, SEEK_MS - (performance.now() - sentAt));
    timer = setTimeout(() => {
      sentAt = performance.now();
      seek(Number(range.value));
    }, wait);
  };
  const setValueText = (seconds) => range.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(run?.seconds ?? 0)}`);
  range.addEventListener("input", () => {
    dragging = true;
    setValueText(Number(range.value));
    requestSeek(false);
  });
  range.addEventListener("change", () => {
    requestSeek(true);
    setTimeout(() => { dragging = false; }, 400);
  });
  copy.addEventListener("click", async () => {
    const url = link(run, Number(range.value));
    address.value = url;
    try {
      await navigator.clipboard.writeText(url);
      address.hidden = true;
      setText(message, "Copied.");
    } catch { // not allowed: show it for copying by hand
      address.hidden = false;
      address.select();
      setText(message, "Copy the link from the field below.");
    }
    setTimeout(() => setText(message, ""), 4000);
  });
  start.addEventListener("click", () => run && live(run.clip));

  return {
    root,
    slider,
    hint,
    /** Mark a moment on the slider; null removes the mark. */
    mark(seconds) {
      cursor.hidden = seconds === null || !run;
      if (!cursor.hidden) cursor.style.left = `calc(${THUMB / 2}px + (100% - ${THUMB}px) * ${Math.min(1, seconds / Math.max(run.seconds, 1e-9))})`;
    },
    draw(view) {
      const next = view?.run ?? null;
      root.hidden = slider.hidden = next === null;
      if (next === null) return;
      if (run?.title !== next.title || run?.label !== next.label) {
        setText(title, next.title);
        setText(about, next.about);
        setText(label, next.label);
        range.max = String(next.seconds);
        marks.replaceChildren(...next.stops.map((stop) => h("i", { style: `left: ${(100 * stop.at) / Math.max(next.seconds, 1e-9)}%` })));
        address.hidden = true;
      }
      if (run?.look !== next.look) hint.replaceChildren(...(next.look ? [h("strong", {}, "What to look at: "), next.look] : []));
      run = next;
      copy.hidden = !run.id;
      start.hidden = !run.clip;
      if (methods) methods.hidden = !run.clip;
      if (dragging) return;
      range.value = String(view.position ?? 0);
      range.style.setProperty("--hl-share", `${(100 * (view.position ?? 0)) / Math.max(run.seconds, 1e-9)}%`);
      setValueText(view.position ?? 0);
    },
  };
}
