// Clip mode: the questions of a run and their times, which are set before it starts.
import { h, setText } from "../shared/dom.js";

export const MAX_QUESTIONS = 8;
const SUGGESTED = 3;

/** The initial questions for a clip: a selection of its suggestions, spread over its length. Pure. */
export function firstPlan(chips, most = SUGGESTED) {
  if (chips.length <= most) return chips.map(({ text, at }) => ({ text, at }));
  const picked = Array.from({ length: most }, (_, i) => chips[Math.round((i * (chips.length - 1)) / (most - 1))]);
  return picked.map(({ text, at }) => ({ text, at }));
}

/** The questions to send, without empty ones; an empty time means the end of the clip. Pure. */
export function readPlan(rows) {
  return rows
    .map(({ text, at }) => ({ text: text.trim(), at: at === "" || at === null ? null : Number(at) }))
    .filter(({ text }) => text);
}

/** Build the list of questions. `run(target, questions)` is called when the Run button is pressed. */
export function makePlan(bus, run) {
  const list = h("ol", { class: "hl-plan-list" });
  const add = h("button", { type: "button", class: "hl-chip", onclick: () => { append({ text: "", at: "" }).focus(); } }, "Add a question");
  const hint = h("p", { class: "hl-hint", role: "status" });
  const root = h("section", { class: "hl-plan", "aria-label": "Questions of this run" },
    h("h3", {}, "Questions of this run"),
    h("p", { class: "hl-caption" }, "The GPU is allocated per run, so set the questions before it starts. The model answers each from memory when the stream reaches its time."),
    list, h("div", { class: "hl-plan-foot" }, add, hint));
  let known = "";

  const rows = () => [...list.children].map((row) => ({ at: row.querySelector("input").value, text: row.querySelector("textarea").value }));

  function append({ text, at }) {
    const time = h("input", { type: "number", min: "0", step: "any", value: at ?? "", placeholder: "end", "aria-label": "Seconds into the clip; empty: at its end" });
    const words = h("textarea", { rows: "1", maxlength: "500", "aria-label": "Question" });
    words.value = text;
    const remove = h("button", { type: "button", class: "hl-plan-remove", "aria-label": "Remove this question", onclick: () => {
      row.remove();
      count();
      add.focus();
    } }, "×");
    const row = h("li", {}, h("label", {}, h("span", { "aria-hidden": "true" }, "at"), time, h("span", { "aria-hidden": "true" }, "s")), words, remove);
    list.append(row);
    count();
    return words;
  }

  function count() {
    add.disabled = list.children.length >= MAX_QUESTIONS;
    setText(hint, add.disabled ? `A run can have at most ${MAX_QUESTIONS} questions.` : "");
  }

  bus.on("view", (view) => {
    const key = JSON.stringify(view.chips ?? []);
    if (key === known) return;
    known = key; // another clip has other questions
    list.replaceChildren();
    firstPlan(view.chips ?? []).forEach(append);
    count();
  });
  bus.on("run", (target) => target && run(target, readPlan(rows())));
  return { root };
}
