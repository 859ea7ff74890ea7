// Pinned results: what the methods held and answered at one moment, kept in this browser tab for a later comparison.
import { h, icon, setText } from "../shared/dom.js";
import { clock, count, whole } from "../shared/format.js";
import { makeCards } from "./cards.js";
import { lastQuestion, questionLine } from "./questions.js";

const STORED = "hermes-pins";
export const MAX_PINS = 6;
/** Number of pinned results shown side by side. */
const SHOWN = 2;
const VERSION = 1;

/** Where a result comes from, in one line. Pure. */
export function sourceLine(state) {
  const budgets = [...new Set(state.lanes.map((lane) => lane.budget).filter((budget) => budget !== null))];
  const budget = budgets.length ? `${budgets.map(whole).join(" and ")} tokens per layer` : "no budget";
  return `${budget} · at ${clock(state.clock)}${state.run || state.recorded ? " · recorded" : ""}`;
}

/** The result that a state shows, as a pin; null before the first frame and while answers are being written. Pure. */
export function pinOf(state, id) {
  if (state.answering || !state.lanes.some((lane) => lane.held)) return null;
  return {
    id, title: state.run?.title ?? state.title ?? "Comparison", source: sourceLine(state),
    ...lastQuestion(state), lanes: state.lanes, columns: state.columns, duration: state.duration,
  };
}

/** The pins to show after `id` was selected or deselected: at most two, the oldest selection makes room. Pure. */
export function toggled(chosen, id) {
  return chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id].slice(-SHOWN);
}

/** Read the pins of this tab. Storage may be forbidden or hold something else: there are none then. */
function recall() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED));
    return stored?.version === VERSION && Array.isArray(stored.pins) ? stored.pins.slice(0, MAX_PINS) : [];
  } catch {
    return [];
  }
}

function keep(pins) {
  try {
    if (pins.length) sessionStorage.setItem(STORED, JSON.stringify({ version: VERSION, pins }));
    else sessionStorage.removeItem(STORED);
  } catch { /* storage may be forbidden or full; the pins are then lost when the page is left */ }
}

/**
 * Build the pins. `kit`: {changed(number), showError(text), more}; `more` are elements of the list's panel. Returns {panel, main, add(pin),
 * paint()}: `panel` is the list, `main` shows the selected pins.
 */
export function makePins({ changed, showError, more = [] }) {
  let pins = recall();
  let chosen = pins.slice(-SHOWN).map((pin) => pin.id);
  let views = [];
  const list = h("ul", { class: "hl-pins", "aria-label": "Pinned results" });
  const hint = h("p", { class: "hl-caption" });
  const clear = h("button", { type: "button", class: "hl-button", onclick: () => update([], []) }, "Remove all");
  const panel = h("section", { class: "hl-lab-part", "aria-label": "Pins" }, hint, list, h("div", { class: "hl-lab-run" }, more, clear));
  const main = h("div", { class: "hl-pin-pair" });

  function update(next, selected) {
    pins = next;
    chosen = selected.filter((id) => pins.some((pin) => pin.id === id));
    keep(pins);
    drawList();
    drawMain();
  }

  function select(id) {
    chosen = toggled(chosen, id);
    [...list.children].forEach((item, i) => { item.querySelector("input").checked = chosen.includes(pins[i].id); });
    drawMain();
  }

  const remove = (id) => update(pins.filter((pin) => pin.id !== id), chosen);

  /** A row of the list: a checkbox that shows the pin, and a button that removes it. */
  function row(pin) {
    const box = h("input", { type: "checkbox", onchange: () => select(pin.id) });
    box.checked = chosen.includes(pin.id);
    return h("li", {}, h("label", {}, box, h("span", {}, h("strong", {}, pin.title), h("small", {}, pin.source), h("small", {}, pin.question ?? "no question"))),
      h("button", { type: "button", class: "hl-button is-icon", "aria-label": `Remove ${pin.title}`, title: "Remove", onclick: () => remove(pin.id) }, icon("close")));
  }

  /** One pin of the comparison: its question, and a card for each method. */
  function view(pin) {
    const cards = makeCards(`Methods of ${pin.title}`, null);
    const root = h("section", { class: "hl-pin", "aria-label": pin.title }, h("h3", {}, pin.title, h("small", {}, pin.source)),
      questionLine(pin), cards.root);
    cards.draw(pin);
    return { root, paint: cards.paint, columns: Math.max(1, pin.lanes.length) };
  }

  function drawList() {
    const index = [...list.children].findIndex((item) => item.contains(document.activeElement));
    list.replaceChildren(...pins.map(row));
    if (index >= 0) list.children[Math.min(index, pins.length - 1)]?.querySelector("input").focus(); // a removed pin had the focus
    clear.hidden = !pins.length;
    setText(hint, pins.length ? "Select two results to compare them. Pins stay in this browser tab and are deleted when it closes."
      : "Nothing is pinned yet. Pin a result, run another comparison and pin it too, then see both here. Pins stay in this browser tab and are deleted when it closes.");
    changed(pins.length);
  }

  function drawMain() {
    views = chosen.map((id) => view(pins.find((pin) => pin.id === id)));
    main.replaceChildren(...(views.length ? views.map((one) => one.root) : [h("p", { class: "hl-figure-empty is-flat" }, "Select a pinned result to show it here.")]));
    main.classList.toggle("is-narrow", views.length > 1 && views.every((one) => one.columns < 2));
    paint();
  }

  function paint() {
    for (const one of views) one.paint();
  }

  drawList();
  drawMain();
  return {
    panel,
    main,
    paint,
    /** Pin a result and select it; returns whether there was room. */
    add(pin) {
      if (pins.length >= MAX_PINS) {
        showError(`At most ${count(MAX_PINS, "result")} can be pinned. Remove one first.`);
        return false;
      }
      update([...pins, pin], toggled(chosen, pin.id));
      return true;
    },
  };
}
