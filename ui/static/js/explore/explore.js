// The Explore tab: controls, a plotly figure of one moment (drawn by Gradio's plot component) and the code that reproduces it.
import { h, setText } from "../shared/dom.js";
import { rendered } from "../page/opening.js";
import { controlsOf, heightOf, momentKey, momentState, STREAM } from "./request.js";

/** After this time without a reply, another request may be sent. */
const PATIENCE_MS = 30_000;

/** Build the tab in the board's panel. `kit`: {figures, modes, send(request)}. Returns {receive(reply)}. */
export function mountExplore(bus, { figures, modes, send }) {
  const chosen = { source: STREAM, figure: figures[0].id, mode: modes[0].id, layer: null, frame: 0, tier: null, compare: false };
  let view = null;
  let open = false;
  let answers = 0; // questions answered so far; an answer changes what is shown
  let sent = 0; // number of the last request
  let waiting = 0; // number of the request without a reply; 0: none
  let next = null; // request to send after it
  let shown = null; // key of the moment that is drawn
  let dark = null; // theme of the figure
  let timer = 0;
  let wanted = null; // source to show when the stream view appears
  const ui = build();
  rendered("#hl-panel-explore").then(() => document.getElementById("hl-panel-explore")?.append(ui.root));

  /** Move Gradio's plot component into the tab. It exists once there is a figure. */
  async function adoptPlot() {
    await rendered("#hl-explore-plot", 4 * PATIENCE_MS);
    const plot = document.getElementById("hl-explore-plot");
    if (plot && plot.parentElement !== ui.stage) ui.stage.append(plot);
  }

  function build() {
    const field = (label, control) => {
      control.setAttribute("aria-label", label);
      return h("label", { class: "hl-explore-field" }, h("span", {}, label), control);
    };
    const menu = (name, options, read = (value) => value) => {
      const select = h("select", { class: "hl-select", onchange: () => choose({ [name]: read(select.value) }) }, options);
      return select;
    };
    const number = (value) => (value === "" ? null : Number(value));
    const option = ({ id, title }) => h("option", { value: id }, title);
    const source = menu("source", []);
    const figure = h("select", { class: "hl-select", onchange: () => choose({ figure: figure.value, layer: null }) }, figures.map(option));
    const mode = menu("mode", modes.map(option));
    const layer = menu("layer", [], number);
    const tier = menu("tier", [], number);
    const frame = h("input", { type: "number", class: "hl-select", min: "0", step: "1", value: "0", inputmode: "numeric" });
    frame.addEventListener("change", () => choose({ frame: Math.max(0, Math.round(Number(frame.value) || 0)) }));
    const fields = { source: field("Memory", source), figure: field("Figure", figure), mode: field("Colour", mode),
      frame: field("Frame (0 is the first)", frame), layer: field("Layer", layer), tier: field("Layers", tier) };
    const button = (label, action, title) => h("button", { type: "button", class: "hl-button", title, onclick: () => request(action) }, label);
    const show = button("Show this moment", "show", "Draw the figure for the current moment");
    const pin = button("Pin this moment", "pin", "Keep this moment, to compare it with another one");
    const compare = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", onchange: () => choose({ compare: compare.checked }) }));
    const unpin = h("button", { type: "button", class: "hl-tool", "aria-label": "Remove the pin", title: "Remove the pin", onclick: () => request("unpin") }, "✕");
    const pinnedName = h("span");
    const pinned = h("div", { class: "hl-explore-pin" }, h("label", {}, compare, pinnedName), unpin); // always there, so that nothing moves
    const about = h("p", { class: "hl-caption" });
    const moment = h("p", { class: "hl-explore-moment", role: "status" });
    const hint = h("p", { class: "hl-explore-hint" });
    const stage = h("div", { class: "hl-explore-stage", role: "group", "aria-label": "Figure of the moment" }, hint);
    const code = h("code");
    const copied = h("span", { class: "hl-caption", role: "status" });
    const copy = h("button", { type: "button", class: "hl-tool", onclick: copyCode }, "Copy");
    const notebook = h("details", { class: "hl-explore-code", hidden: true }, h("summary", {}, "Open in a notebook"),
      h("p", { class: "hl-caption" }, "This code draws the same figure in a notebook or script, where HERMES Live is installed."),
      h("div", { class: "hl-tools" }, copy, copied), h("pre", { tabindex: "0", role: "region", "aria-label": "Python code of the figure" }, code));
    const root = h("section", { class: "hl-section hl-explore", "aria-label": "Explore" },
      h("div", { class: "hl-explore-controls" }, Object.values(fields), h("div", { class: "hl-tools" }, show, pin)),
      about, pinned, moment, stage, notebook);
    return { root, fields, source, figure, mode, layer, frame, tier, pinnedName, compare, unpin, about, moment, hint, stage, code, copied, notebook };
  }

  async function copyCode() {
    try {
      await navigator.clipboard.writeText(ui.code.textContent);
      setText(ui.copied, "Copied.");
    } catch { // the page is not served securely, or the browser forbids it
      getSelection()?.selectAllChildren(ui.code);
      setText(ui.copied, "Selected. Press Ctrl+C to copy.");
    }
  }

  function choose(change) {
    Object.assign(chosen, change);
    drawControls();
    request("show");
  }

  /** Send a request, or keep it until the reply to the previous one arrives. */
  function request(action) {
    if (action === "pin") chosen.compare = true;
    if (waiting) {
      next = next === "pin" || next === "unpin" ? next : action;
      return;
    }
    const width = ui.stage.clientWidth || 900;
    const height = heightOf(width, chosen.compare && (action === "pin" || !ui.compare.hidden));
    ui.stage.style.height = `${height}px`;
    dark = document.body.classList.contains("dark");
    shown = momentKey(view, chosen.source, answers);
    sent += 1;
    waiting = sent;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!ui.stage.classList.contains("has-figure")) setText(ui.hint, "The figure has not arrived yet. If it does not appear, press “Show this moment”.");
      finish();
    }, PATIENCE_MS);
    ui.stage.setAttribute("aria-busy", "true");
    if (!ui.stage.querySelector("#hl-explore-plot")) adoptPlot();
    if (!ui.stage.classList.contains("has-figure")) setText(ui.hint, "Drawing the figure …");
    send({ ...chosen, action, n: sent, dark, width, height, touch: matchMedia("(pointer: coarse)").matches });
  }

  function finish() {
    waiting = 0;
    clearTimeout(timer);
    ui.stage.removeAttribute("aria-busy");
    const action = next;
    next = null;
    if (action) request(action);
  }

  /** Draw the figure if the moment no longer changes by itself and is not the one that is drawn. */
  function refresh() {
    if (!open || (!view && chosen.source === STREAM)) return;
    const still = momentState(view, chosen.source) === "still";
    if (still && (momentKey(view, chosen.source, answers) !== shown || dark !== document.body.classList.contains("dark"))) request("show");
    else if (shown === null) setText(ui.hint, hintFor(momentState(view, chosen.source)));
  }

  function drawControls() {
    const { about, controls } = figures.find((one) => one.id === chosen.figure);
    setText(ui.about, about);
    for (const [name, visible] of Object.entries(controlsOf(controls))) ui.fields[name].hidden = !visible;
  }

  /** Put options into a select element and select `value`. */
  function fill(select, options, value) {
    const key = JSON.stringify(options);
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(...options.map(([id, title]) => h("option", { value: id ?? "" }, title)));
    }
    select.value = String(value ?? "");
  }

  function drawPin(reply) {
    ui.compare.hidden = ui.unpin.hidden = !reply.pinned;
    ui.compare.checked = chosen.compare;
    const alone = chosen.compare && !reply.compared && !reply.error;
    setText(ui.pinnedName, reply.pinned
      ? `Compare with the pinned moment: ${reply.pinned}${alone ? ". Now go to another moment, or open another recording." : ""}`
      : "Pin a moment to compare it with another one.");
  }

  ui.fields.source.hidden = true;
  drawPin({ pinned: "" });
  drawControls();
  setText(ui.hint, hintFor("empty"));
  new MutationObserver(() => {
    if (shown !== null && dark !== document.body.classList.contains("dark")) {
      if (open) request("show");
    }
  }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  bus.on("tab", (tab) => {
    open = tab === "explore";
    if (!open) return;
    if (chosen.source !== STREAM) shown = null; // the comparison may have continued
    dispatchEvent(new Event("resize")); // plotly measures its place
    refresh();
  });
  bus.on("explore", (request) => { wanted = request?.source ?? null; }); // a method of the comparison; the view changes next
  bus.on("page-view", (name) => {
    if (name !== "stream" || !wanted) return;
    Object.assign(chosen, { source: wanted, compare: false });
    wanted = null;
    const tab = document.getElementById("hl-tab-explore");
    tab?.click();
    tab?.focus({ preventScroll: true });
    tab?.scrollIntoView({ block: "start" });
  });
  bus.on("view", (now) => {
    if (view?.answering && !now.answering) answers += 1;
    view = now;
    refresh();
  });

  return {
    receive(reply) {
      if (reply.n !== sent) return; // of an earlier request
      if (chosen.source !== STREAM && reply.sources && !reply.sources.some(({ id }) => id === chosen.source)) { // the comparison was closed
        ui.fields.source.hidden = true;
        choose({ source: STREAM });
        finish();
        return;
      }
      setText(ui.moment, reply.moment ?? "");
      ui.fields.source.hidden = !reply.sources?.length;
      if (reply.sources?.length) fill(ui.source, reply.sources.map(({ id, title }) => [id, title]), chosen.source);
      if (reply.options) {
        const every = figures.find((one) => one.id === reply.chosen.figure).controls.includes("every layer");
        fill(ui.layer, [...(every ? [[null, "All layers"]] : []), ...reply.options.layers.map((layer) => [layer, String(layer)])], reply.chosen.layer);
        fill(ui.tier, [[null, "All layers"], ...reply.options.tiers.map(({ tier, title }) => [tier, title])], reply.chosen.tier);
        ui.frame.max = String(reply.options.frames - 1);
        ui.frame.value = String(reply.chosen.frame);
        Object.assign(chosen, reply.chosen);
        ui.figure.value = chosen.figure;
        ui.mode.value = chosen.mode;
      }
      drawPin(reply);
      setText(ui.hint, reply.error ? reply.error : "Loading the figure …");
      ui.hint.dataset.kind = reply.error ? "error" : "";
      ui.stage.classList.toggle("has-figure", !reply.error);
      ui.notebook.hidden = !reply.code || Boolean(reply.error);
      if (reply.code) setText(ui.code, reply.code);
      setText(ui.copied, "");
      finish();
    },
  };
}

/** What the place of the figure says before there is one. */
function hintFor(state) {
  if (state === "empty") return "No frames yet. Press Start, or open a recording. A figure of its memory appears here, to zoom, hover and export.";
  return "The stream is playing. Press “Show this moment” for a figure of what the memory holds now, or pause.";
}
