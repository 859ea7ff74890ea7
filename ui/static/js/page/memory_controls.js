// Policy and budget of the stream, next to it. While a recorded run is selected, its own are shown instead.
import { h, setText } from "../shared/dom.js";
import { whole } from "../shared/format.js";

const STEPS = 100;
/** Budgets are multiples of this number of tokens. */
const MULTIPLE = 16;

/** Budget at a position of the slider, 0 to 100, on a logarithmic scale from `low` to `high`. Pure. */
export function budgetAt(position, low, high) {
  const exact = low * (high / low) ** (position / STEPS);
  return Math.max(low, Math.min(high, MULTIPLE * Math.round(exact / MULTIPLE)));
}

/** Position of a budget on the slider, 0 to 100. Pure. */
export function positionOf(budget, low, high) {
  const share = Math.log(Math.max(low, Math.min(high, budget)) / low) / Math.log(high / low);
  return Math.round(STEPS * share);
}

/** Policies by group, in the order of the first policy of each group. Pure. */
export function grouped(policies) {
  const groups = new Map();
  for (const policy of policies) groups.set(policy.group, [...(groups.get(policy.group) ?? []), policy]);
  return groups;
}

/**
 * Build the controls inside `element`. `kit`: {policies, low, high, more (the button of the other settings), send({name, value})}.
 * Returns {receive(message)}.
 */
export function mountMemoryControls(element, bus, { policies, low, high, more, send }) {
  const policy = /** @type {HTMLSelectElement} */ (h("select", { class: "hl-select", id: "hl-policy", onchange: () => send({ name: "policy", value: policy.value }) },
    [...grouped(policies)].map(([group, members]) => h("optgroup", { label: group }, members.map(({ name, title }) => h("option", { value: name }, title))))));
  const slider = h("input", { type: "range", min: "0", max: String(STEPS), step: "1", "aria-label": "Budget slider" });
  const number = h("input", { type: "number", id: "hl-budget", inputmode: "numeric", min: "1", step: String(MULTIPLE) });
  const unit = h("span", {}, "tokens per layer");
  const status = h("p", { class: "hl-message", role: "status" }, "");
  const first = h("div", { class: "hl-quick-field" }, h("label", { for: "hl-policy" }, "Policy"), policy, more);
  const fields = h("div", { class: "hl-quick-fields" }, first,
    h("div", { class: "hl-quick-field" }, h("label", { for: "hl-budget" }, "Budget"), slider, number, unit));
  const proposed = h("p", {}, "");
  const undo = h("button", { type: "button", class: "hl-button", onclick: () => send({ name: "budget", value: Number(undo.dataset.budget) }) }, "");
  const proposal = h("div", { class: "hl-quick-proposal", role: "status", hidden: true }, proposed, undo);
  const about = h("p", {}, "");
  const recorded = h("div", { class: "hl-quick-recorded", hidden: true }, about);
  const root = h("div", { class: "hl-quick", role: "group", "aria-label": "Memory of the stream" }, fields, recorded, proposal, status);
  element.replaceChildren(root);

  slider.addEventListener("input", () => {
    number.value = String(budgetAt(Number(slider.value), low, high));
    slider.setAttribute("aria-valuetext", `${whole(Number(number.value))} tokens per layer`);
  });
  slider.addEventListener("change", () => send({ name: "budget", value: Number(number.value) }));
  number.addEventListener("change", () => {
    if (number.value.trim() === "") return;
    slider.value = String(positionOf(Number(number.value) || low, low, high));
    send({ name: "budget", value: Number(number.value) });
  });

  bus.on("view", draw);
  bus.on("selected", () => draw(bus.last("view"))); // another kind of source

  function draw(view) {
    if (!view) return;
    const run = bus.last("selected") === "run" ? view.run : null;
    fields.hidden = status.hidden = Boolean(run);
    recorded.hidden = !run;
    const row = run ? recorded : first;
    if (more.parentElement !== row) row.append(more);
    proposal.hidden = !view.proposal || Boolean(run);
    if (view.proposal) {
      setText(proposed, view.proposal.text);
      setText(undo, `Keep ${whole(view.proposal.before)}`);
      undo.dataset.budget = String(view.proposal.before);
    }
    if (run) setText(about, `This recording: ${run.settings}`);
  }

  function show(budget) {
    number.value = String(budget);
    slider.value = String(positionOf(budget, low, high));
  }

  return {
    receive(message) {
      policy.value = message.policy;
      root.dataset.budget = String(message.budget);
      const busy = document.activeElement === number || document.activeElement === slider;
      if (!busy || message.error) show(message.budget);
      number.hidden = slider.hidden = !message.has_budget;
      setText(unit, message.has_budget ? "tokens per layer" : "not used by this policy");
      setText(status, message.message);
      status.dataset.kind = message.error ? "error" : "";
    },
  };
}
