// The elements of a lesson step: text, buttons, calculator, prediction and result.
import { makeCalculator } from "./calculator.js";
import { h, icon } from "../shared/dom.js";
import { leadingPunctuation, parseRich } from "./text.js";

const ICONS = { play: "play", ask: "send", run: "play", set: "restart", show: "play" };

/** Text about a guess; `right` holds for each choice whether it matches the measurement. Pure. */
export function verdict(right, chosen) {
  if (!right.includes(true)) return { kind: "open", text: "None of the choices matches the measurement." };
  return right[chosen] ? { kind: "right", text: "Correct." } : { kind: "wrong", text: "Not quite." };
}

/** A paragraph with glossary terms and measured values. */
export function paragraph(source, glossary, attributes = {}) {
  const parts = parseRich(source);
  return h("p", attributes, parts.map((part, i) => {
    if (part.kind === "term") {
      const [punctuation] = leadingPunctuation(parts[i + 1]?.kind === "text" ? parts[i + 1].text : "");
      return punctuation ? h("span", { class: "hl-nowrap" }, glossary.term(part.text), punctuation) : glossary.term(part.text);
    }
    if (part.kind === "strong") return h("strong", {}, part.text);
    return parts[i - 1]?.kind === "term" ? leadingPunctuation(part.text)[1] : part.text;
  }));
}

/**
 * Build a step. `kit`: {glossary, calculator, act(index), reveal(), choose(index), point(target)}; `past`: {chosen, reply} of an
 * earlier visit. Returns {root, heading, showResult(reply), busy(index, on), note(text, kind)}.
 */
export function makeStep(step, kit, past) {
  const heading = h("h3", { tabindex: "-1" }, step.title);
  const note = h("p", { class: "hl-lesson-note", role: "status", hidden: true });
  const outcome = h("div", { class: "hl-lesson-outcome", "aria-live": "polite" });
  const actions = (step.do ?? []).map((action, index) => h("button", { type: "button", class: "hl-button is-main", onclick: () => kit.act(index) },
    icon(ICONS[action.do]), h("span", {}, action.label)));
  const point = step.point?.view ? h("button", { type: "button", class: "hl-button", onclick: () => kit.point(step.point) }, "Show me where") : null;
  let chosen = past?.chosen ?? null;
  const show = h("button", { type: "button", class: "hl-button is-main", disabled: chosen === null, onclick: () => kit.reveal(chosen) }, "See what happens");
  const group = `hl-guess-${Math.random().toString(36).slice(2)}`;
  const radios = (step.choices ?? []).map((choice, index) => h("input", {
    type: "radio", name: group, value: String(index), checked: index === chosen,
    onchange: () => {
      chosen = index;
      show.disabled = false;
      kit.choose(index);
    },
  }));
  const choices = radios.map((radio, index) => h("label", { class: "hl-choice" }, radio, h("span", {}, step.choices[index]), h("b", { class: "hl-choice-mark", "aria-hidden": "true" })));
  const guess = step.choices?.length ? h("fieldset", { class: "hl-guess" },
    h("legend", {}, h("small", {}, "Guess first"), step.question), choices, show) : null;

  function showResult(reply) {
    if (reply.waiting) {
      note.hidden = false;
      note.dataset.kind = "waiting";
      note.textContent = reply.waiting;
      return;
    }
    note.hidden = true;
    const result = verdict(reply.right, chosen);
    choices.forEach((label, index) => {
      label.dataset.right = reply.right[index] ? "yes" : index === chosen ? "no" : "";
      label.lastChild.textContent = reply.right[index] ? "✓" : index === chosen ? "✗" : "";
    });
    radios.forEach((radio) => { radio.disabled = true; });
    show.hidden = true;
    outcome.replaceChildren(h("p", { class: "hl-lesson-verdict", "data-kind": result.kind }, result.text), ...reply.text.map((line) => paragraph(line, kit.glossary)));
  }

  if (past?.reply) showResult(past.reply);
  const root = h("div", { class: "hl-lesson-step" }, heading,
    step.text.map((line) => paragraph(line, kit.glossary)),
    step.without ? paragraph(step.without, kit.glossary, { class: "hl-lesson-without" }) : null,
    actions.length || point ? h("div", { class: "hl-lesson-actions" }, actions, point) : null,
    step.calculator?.model ? makeCalculator(kit.calculator, step.calculator) : null,
    guess, note, outcome);
  return {
    root, heading, showResult,
    busy: (index, on) => { actions[index].disabled = on; },
    note(text, kind) {
      note.hidden = !text;
      note.dataset.kind = kind;
      note.textContent = text;
    },
  };
}
