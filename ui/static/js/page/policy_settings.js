// The "Experiment" panel: the settings of the current policy with their defaults. The panel is built from the list that the server
// sends for each policy; the server also validates changes. A change applies at the next eviction.
import { h, setText } from "../shared/dom.js";

/** Group the settings: switches and choices, then numbers by symbol, then texts. Pure. */
export function groups(settings) {
  const found = [];
  for (const setting of settings) {
    const kind = setting.kind === "number" ? "number" : setting.kind === "text" ? "text" : "choice";
    const key = kind === "number" ? `number ${setting.label.split(" ")[0]} ${setting.about}` : kind;
    let group = found.find((other) => other.key === key);
    if (!group) {
      group = { key, kind, settings: [] };
      found.push(group);
    }
    group.settings.push(setting);
  }
  const order = { choice: 0, number: 1, text: 2 };
  return found.sort((a, b) => order[a.kind] - order[b.kind]);
}

/** Summary line of the panel: the policy and its changed settings. Pure. */
export function summary({ policy, settings, changed, defaults }) {
  if (!settings.length) return `${policy.title} has no settings`;
  if (!changed.length) return `${policy.title} with ${defaults}`;
  const text = changed.slice(0, 3).map(({ label, words: value }) => `${label}: ${value}`).join(", ");
  return `${text}${changed.length > 3 ? " …" : ""}`;
}

/** Build the panel inside `element`. `send(request)` calls the server, which replies with the settings to show. */
export function mountPolicySettings(element, bus, send) {
  const line = h("span", { class: "hl-try-line" }, "Loading …");
  const mark = h("span", { class: "hl-changed", hidden: true });
  const status = h("p", { class: "hl-message", role: "status" }, "Changes apply at the next eviction. Evicted tokens do not come back.");
  const presets = h("div", { class: "hl-chips", role: "group", "aria-label": "Presets" });
  const reset = h("button", { type: "button", class: "hl-button", onclick: () => send({ reset: true }) }, "Reset to the defaults");
  const fields = h("div", { class: "hl-try-fields" });
  const body = h("div", { class: "hl-try-body" },
    h("p", { class: "hl-caption" }, "Change a setting of the policy while the stream runs and watch the memory. Each setting shows its default and where the default comes from."),
    h("div", { class: "hl-try-top" }, presets, reset), status, fields);
  element.replaceChildren(h("section", { class: "hl-try", "data-view": "try", "aria-label": "Experiment" },
    h("div", { class: "hl-try-head" }, h("h3", {}, "Experiment"), mark, line), body));
  let shown = null; // key of the policy whose fields are shown
  let known = null; // key of the last request
  const parts = new Map();

  function number(setting, change) {
    const bounds = { min: setting.low, max: setting.high, step: setting.step ?? "any" };
    const input = h("input", { type: "number", inputmode: "decimal", id: `hl-try-${setting.name}`, ...bounds });
    const slide = setting.low !== null && setting.high !== null ? h("input", { type: "range", "aria-label": setting.label, ...bounds }) : null;
    input.addEventListener("change", () => input.value.trim() !== "" && change(Number(input.value)));
    slide?.addEventListener("input", () => { input.value = slide.value; });
    slide?.addEventListener("change", () => change(Number(slide.value)));
    return { node: h("div", { class: "hl-try-number" }, slide, input), put: (value) => {
      if (document.activeElement !== input) input.value = value;
      if (slide && document.activeElement !== slide) slide.value = value;
      if (slide && document.activeElement === slide && Number(slide.value) !== value) slide.value = value;
    } };
  }

  function control(setting) {
    const change = (value) => send({ name: setting.name, value });
    if (setting.kind === "switch") {
      const input = h("input", { type: "checkbox", role: "switch", id: `hl-try-${setting.name}`, onchange: () => change(input.checked) });
      return { node: input, put: (value) => { input.checked = value; } };
    }
    if (setting.kind === "choice") {
      const input = h("select", { id: `hl-try-${setting.name}`, class: "hl-select", onchange: () => change(input.value) },
        setting.choices.map((choice) => h("option", { value: choice }, choice)));
      return { node: input, put: (value) => { input.value = value; } };
    }
    if (setting.kind === "number") return number(setting, change);
    const input = h("textarea", { rows: "2", id: `hl-try-${setting.name}`, maxlength: setting.high ?? 240, placeholder: setting.hint, onchange: () => change(input.value) });
    return { node: input, put: (value) => { if (document.activeElement !== input) input.value = value; } };
  }

  function field(setting, several) {
    const { node, put } = control(setting);
    const published = h("small", { class: "hl-try-default" }, setting.default);
    const back = h("button", { type: "button", class: "hl-tool", hidden: true, "aria-label": `${setting.label}: reset to the default`, title: "Reset to the default",
      onclick: () => send({ name: setting.name, reset: true }) }, "↺");
    const dot = h("b", { class: "hl-try-dot", hidden: true }, "changed");
    const root = h("div", { class: `hl-try-field is-${setting.kind}` },
      h("div", { class: "hl-try-label" }, h("label", { for: `hl-try-${setting.name}` }, setting.label), dot),
      several ? null : h("p", {}, setting.about), node, h("div", { class: "hl-try-foot" }, published, back));
    parts.set(setting.name, { root, put, back, dot });
    return root;
  }

  function build(settings) {
    parts.clear();
    fields.replaceChildren(...groups(settings).map((group) => {
      const several = group.kind === "number" && group.settings.length > 1;
      return h("div", { class: `hl-try-group is-${group.kind}` },
        several ? h("p", { class: "hl-try-about" }, h("strong", {}, group.settings[0].label.split(" ")[0]), ` ${group.settings[0].about}`) : null,
        h("div", { class: "hl-try-row" }, group.settings.map((setting) => field(setting, several))));
    }));
  }

  bus.on("view", (view) => {
    const now = `${view.about?.policy?.name}/${view.about?.model?.name ?? ""}/${view.about?.policy?.badge}`;
    if (now === known && !view.restarted) return;
    known = now;
    send({});
  });

  return {
    receive(message) {
      const key = JSON.stringify([message.policy.name, message.settings.map(({ name, default: value }) => [name, value])]);
      if (key !== shown) build(message.settings);
      shown = key;
      for (const setting of message.settings) {
        const part = parts.get(setting.name);
        part.put(setting.value);
        part.root.classList.toggle("is-changed", setting.changed);
        part.back.hidden = !setting.changed;
        part.dot.hidden = !setting.changed;
      }
      setText(line, summary(message));
      body.hidden = !message.settings.length && !message.presets.length;
      setText(reset, `Reset to ${message.defaults}`);
      mark.hidden = message.changed.length === 0;
      setText(mark, `${message.changed.length} of ${message.settings.length} changed`);
      reset.disabled = message.changed.length === 0;
      presets.hidden = message.presets.length === 0;
      presets.replaceChildren(...message.presets.map((preset) => h("button", { type: "button", class: "hl-chip", title: preset.about, "aria-pressed": String(preset.on),
        onclick: () => send(preset.on ? { reset: true } : { preset: preset.name }) }, preset.title)));
      if (message.notice) setText(status, message.notice);
      status.dataset.kind = message.bad ? "error" : "";
    },
  };
}
