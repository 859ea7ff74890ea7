// Tabs of the side panel of Compare: one panel at a time.
import { h, setText } from "../shared/dom.js";

/**
 * Build tabs. `panels`: [{name, label, root}]; `changed(name, byHand)` is called after another tab was selected. Returns {root, chosen(),
 * choose(name), label(name, text)}.
 */
export function makeTabs(panels, changed) {
  let chosen = panels[0].name;
  const buttons = panels.map(({ name, label }) => h("button", { type: "button", role: "tab", id: `hl-lab-tab-${name}`, "aria-controls": `hl-lab-${name}`, onclick: () => choose(name, true) }, label));
  const list = h("div", { class: "hl-segments hl-tabs hl-lab-foldable", role: "tablist", "aria-label": "Comparisons" }, buttons);
  const hosts = panels.map(({ name, root }) => h("div", { class: "hl-lab-panel", role: "tabpanel", id: `hl-lab-${name}`, "aria-labelledby": `hl-lab-tab-${name}` }, root));

  function mark() {
    panels.forEach(({ name }, i) => {
      buttons[i].setAttribute("aria-selected", String(name === chosen));
      buttons[i].tabIndex = name === chosen ? 0 : -1;
      hosts[i].hidden = name !== chosen;
    });
  }

  function choose(name, byHand = false) {
    if (name === chosen || !panels.some((panel) => panel.name === name)) return;
    chosen = name;
    mark();
    changed(name, byHand);
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (panels.findIndex(({ name }) => name === chosen) + step + panels.length) % panels.length;
    choose(panels[next].name, true);
    buttons[next].focus();
  });
  mark();
  return {
    root: h("div", { class: "hl-lab-tabs" }, list, hosts),
    chosen: () => chosen,
    choose,
    label: (name, text) => setText(buttons[panels.findIndex((panel) => panel.name === name)], text),
  };
}
