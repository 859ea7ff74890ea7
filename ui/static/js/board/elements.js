// The board's elements and the text next to each figure. No state and no drawing.
import { TIERS } from "./codec.js";
import { h, setText } from "../shared/dom.js";
import { makeEvidence } from "./evidence.js";
import { MODES } from "./layers.js";

const GLOSSARY = [
  ["Token", "A small part of a frame (a patch), encoded as numbers. The model turns each frame into several tokens."],
  ["Layer", "The model processes its input in steps, one layer after the other. Each layer has its own cache of the video. Layer 0 is the first."],
  ["Cache", "The keys and values of the tokens that the layers still hold."],
  ["Budget", "The most video tokens that a layer may hold. Beyond it, tokens are evicted."],
  ["Eviction", "The removal of tokens from a layer that is over its budget."],
  ["Importance", "The score that decides which tokens stay: a mix of recency and attention that depends on the layer."],
  ["Recency", "1 for the newest token, falling towards 0 with age. How fast it falls depends on the layer."],
  ["Guidance", "Generic prompts that stand in for future questions. Tokens that they attend to count as important."],
  ["Summary token", "One token into which a long-term layer merges the tokens that it evicts: their mean."],
  ["Re-indexing", "Renumbering the positions of the remaining tokens without gaps, so that they stay below the model’s limit."],
];

/**
 * A figure: title, caption, an export menu, a canvas, and an overlay canvas for the cursor. `label` names the image. With `keys`, the
 * overlay takes pointer and keyboard input and has that name. With `brief`, the caption is shown on request.
 */
function makeFigure(name, { title, text, label, keys = null, before = [], after = [], brief = false, heading = "h3" }) {
  const canvas = h("canvas", { role: "img", "aria-label": label });
  const overlay = keys
    ? h("canvas", { class: "hl-overlay is-input", role: "application", "aria-label": keys, tabindex: "0",
      "aria-roledescription": "memory board", "aria-describedby": "hl-board-help" })
    : h("canvas", { class: "hl-overlay", "aria-hidden": "true" });
  const caption = h("p", { class: "hl-figure-text" }, text);
  const tool = (toolName, kind) => h("button", { type: "button", class: "hl-tool", "aria-label": `${toolName}: ${title}`, "data-tool": kind }, toolName);
  const tools = { table: tool("Table", "table"), png: tool("PNG", "png"), svg: tool("SVG", "svg") };
  tools.table.setAttribute("aria-pressed", "false");
  const menu = makeMenu("Export", `Export: ${title}`, Object.values(tools));
  const table = h("div", { class: "hl-table", role: "region", tabindex: "0", "aria-label": `Table: ${title}`, hidden: true });
  const box = h("div", { class: "hl-canvas" }, canvas, overlay);
  const node = h("figure", { class: "hl-figure" },
    h("figcaption", {}, h("div", { class: "hl-figure-head" }, h(heading, {}, title),
      ...(brief ? [makeInfo(title, caption)] : []), menu), caption),
    ...before, box, table, ...after);
  return { name, title, node, canvas, overlay, input: keys ? overlay : canvas, box, caption, tools, table };
}

/** A menu of buttons that opens below its own button and closes after a choice, on Escape and on a click elsewhere. */
function makeMenu(text, label, buttons) {
  const menu = /** @type {HTMLDetailsElement} */ (h("details", { class: "hl-menu" }, h("summary", { class: "hl-tool", "aria-label": label }, text),
    h("div", { class: "hl-menu-list", role: "group", "aria-label": label }, buttons)));
  menu.addEventListener("click", (event) => {
    if (/** @type {Element} */ (event.target).closest(".hl-menu-list button")) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    /** @type {HTMLElement} */ (menu.firstChild).focus();
    event.stopPropagation();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(/** @type {Node} */ (event.relatedTarget))) menu.open = false;
  });
  document.addEventListener("pointerdown", (event) => {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
  });
  return menu;
}

/** A button that shows and hides a figure's caption. */
function makeInfo(title, caption) {
  caption.hidden = true;
  const button = h("button", { type: "button", class: "hl-info", "aria-expanded": "false", "aria-label": `About: ${title}`, title: caption.textContent,
    onclick: () => {
      caption.hidden = !caption.hidden;
      button.setAttribute("aria-expanded", String(!caption.hidden));
    } }, "?");
  return button;
}

function makeMeters() {
  const nodes = new Map();
  const meter = (name, label) => {
    const value = h("dd", { class: "hl-meter-value" }, "–");
    const note = h("dd", { class: "hl-meter-note" }, " ");
    const node = h("div", { class: "hl-meter" }, h("dt", {}, label), value, note);
    nodes.set(name, [value, note, node]);
    return node;
  };
  const list = h("dl", { class: "hl-meters" }, meter("tokens", "Tokens kept"), meter("cache", "Cache"), meter("ingest", "Ingest"),
    meter("first", "First token"), meter("dropped", "Dropped"));
  return { list, set: (name, value, note) => {
    setText(nodes.get(name)[0], value);
    setText(nodes.get(name)[1], note);
    nodes.get(name)[2].title = note;
  } };
}

/** Sections of the board: view -> accessible name. */
const VIEWS = {
  filmstrip: "Filmstrip", layers: "Layer by layer", timeline: "Retention timeline", answer: "Last answer",
  evidence: "Why this answer was right or wrong", retention: "Retention", life: "Token history",
};

/** The tabs below the first screen: [tab, name, views]. @type {[string, string, string[]][]} */
const TABS = [["why", "Why this answer", ["evidence", "answer"]], ["evictions", "Evictions", ["retention"]], ["history", "Token history", ["life"]],
  ["explore", "Explore", []], ["export", "Export", []]];

function section(view, ...children) {
  return h("section", { class: "hl-section", "data-view": view, "aria-label": VIEWS[view] }, children);
}

/** Build the tabs that have `panels`: tab -> nodes. `changed(tab)` is called when one is selected. Returns {list, nodes, select(tab), tabOf(view)}. */
function makeTabs(panels, changed) {
  const listed = TABS.filter(([id]) => panels[id]);
  const tabs = listed.map(([id, name]) => h("button", { type: "button", role: "tab", id: `hl-tab-${id}`, class: "hl-jump", "aria-controls": `hl-panel-${id}`, onclick: () => select(id) }, name));
  const nodes = listed.map(([id]) => h("div", { class: "hl-tabpanel", role: "tabpanel", id: `hl-panel-${id}`, "aria-labelledby": `hl-tab-${id}`, tabindex: "0" }, panels[id]));
  const list = h("div", { class: "hl-jumps", role: "tablist", "aria-label": "Details of the memory" }, tabs);
  function select(id) {
    listed.forEach(([other], i) => {
      tabs[i].setAttribute("aria-selected", String(other === id));
      tabs[i].tabIndex = other === id ? 0 : -1;
      nodes[i].classList.toggle("is-on", other === id);
    });
    changed(id);
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    select(listed[at][0]);
    tabs[at].focus();
  });
  return { list, nodes, select, tabOf: (view) => TABS.find(([, , views]) => views.includes(view))?.[0] ?? null };
}

function makeFilm() {
  const button = (label, text) => h("button", { type: "button", class: "hl-tool", "aria-label": label, title: label }, text);
  const zoom = {
    zoomIn: button("Zoom in", "+"), zoomOut: button("Zoom out", "−"), fit: button("Fit the whole stream", "Fit"),
    earlier: button("Earlier", "◀"), later: button("Later", "▶"), description: h("p", { class: "hl-window" }),
  };
  const bar = h("div", { class: "hl-zoom" }, h("div", { class: "hl-tools", role: "group", "aria-label": "Zoom of the time axis" },
    zoom.earlier, zoom.zoomOut, zoom.zoomIn, zoom.later, zoom.fit), zoom.description);
  const film = makeFigure("film", {
    title: "What is still remembered", label: "Filmstrip", brief: true,
    keys: "Filmstrip of memory: the patches of each picture that each tier still holds",
    text: "Each column is a moment of the stream, each strip a tier of the model’s memory. Bright patches are still held; faded ones were evicted. The bar below a picture shows how much of it is left.",
  });
  film.node.querySelector(".hl-figure-head").insertBefore(bar, film.node.querySelector(".hl-menu"));
  return { film, zoom };
}

function makeLayers() {
  const modes = Object.entries(MODES).map(([mode, { label, short }]) => h("button", {
    type: "button", role: "radio", "aria-checked": String(mode === "kept"), "data-mode": mode, "aria-label": label, title: label }, short));
  const modeGroup = h("div", { class: "hl-segments is-small hl-modes", role: "radiogroup", "aria-label": "What the cells show" }, modes);
  const scale = h("p", { class: "hl-scale" });
  const note = makeNote();
  const figure = makeFigure("layers", {
    title: "Layer by layer", label: "Layer heatmap", keys: "What each layer still holds of each frame", brief: true,
    text: "Each column is a frame, each row a layer of the model; layer 0 is at the top. Click a cell (or press Enter) to open the frame as that layer holds it. Outlined: the evidence of the last answer. The dark bar above the first columns marks the start of the stream where layers keep it. Point at a word of an answer in the chat to see what the model attended to while it wrote that word, one line per head.",
    before: [h("div", { class: "hl-mode-row" }, modeGroup)], after: [note.node],
  });
  figure.node.querySelector(".hl-figure-head").insertBefore(scale, figure.node.querySelector(".hl-menu"));
  const word = h("p", { class: "hl-word-note", hidden: true });
  figure.box.append(word);
  const panel = makePanel();
  return { figure, modes, modeGroup, scale, note, word, panel };
}

/** A sentence below a figure. "Why?" shows the term “start of the stream” of the page's glossary. */
function makeNote() {
  const text = h("span", {}, "");
  const why = h("span", { "data-term": "start of the stream", hidden: true }, "Why?");
  return { node: h("p", { class: "hl-layers-note" }, text, " ", why), text, why };
}

function makePanel() {
  const heading = h("h4", { tabindex: "-1" }, "");
  const layer = h("select", { class: "hl-select", "aria-label": "Layer" });
  const step = (label, text) => h("button", { type: "button", class: "hl-tool", "aria-label": label, title: label }, text);
  const controls = { layer, before: step("Previous frame", "◀"), after: step("Next frame", "▶"), close: step("Close the frame", "✕") };
  const text = h("p", { class: "hl-caption" });
  const picture = makeFigure("picture", {
    title: "The frame in this layer", label: "The frame in this layer", keys: "The frame with the patches that the layer still holds",
    text: "Bright patches are held; faded ones were evicted. Point at a patch for its scores.",
  });
  const minis = makeFigure("minis", {
    title: "The same frame in every layer", label: "Patches of the frame that each layer holds",
    text: "Coloured patches are held. Click a layer to show it on the left.",
  });
  const node = h("div", { class: "hl-panel", hidden: true, role: "group", "aria-label": "One frame" },
    h("div", { class: "hl-panel-head" }, heading, h("div", { class: "hl-tools" }, controls.before, controls.after, layer, controls.close)),
    text, h("div", { class: "hl-panel-body" }, picture.node, minis.node));
  return { node, heading, text, picture, minis, ...controls };
}

function makeAnswer() {
  const peaks = h("ul", { class: "hl-peaks", "aria-label": "Most attended frames" });
  const asked = h("p", { class: "hl-quote" });
  const text = h("p", { class: "hl-caption" });
  const empty = h("p", { class: "hl-figure-empty" }, "Ask a question. This shows which frames the answer attended to.");
  const rows = h("select", { class: "hl-select", "aria-label": "Rows of the figure" });
  const figure = makeFigure("reading", {
    title: "Attention of the last answer", label: "Attention of the last answer, by layer and frame",
    text: "The model’s attention while it generated the answer. The curve is the mean over all layers. Below is one row per layer, scaled to its most attended frame.",
    before: [asked, peaks, text, h("label", { class: "hl-rows" }, "Rows ", rows)],
  });
  figure.box.append(empty);
  return { figure, peaks, asked, text, empty, rows };
}

function makeTimeline() {
  return makeFigure("timeline", {
    title: "Retention timeline", label: "Retention timeline", brief: true,
    text: "For each moment of the stream, the share of its tokens that each tier still holds now. A full column keeps everything; a gap means that the tier has forgotten the moment. Outlined: the evidence of the last answer.",
  });
}

function makeRetention() {
  const leftOut = makeNote();
  const survival = makeFigure("survival", {
    title: "How much survives", label: "Survival curves: share of a frame's tokens still held, by the frame's age",
    text: "Left: frames just seen. Right: frames seen long ago. The line is the mean share of their tokens still held. Fainter means fewer frames. The band covers the middle half of the frames.",
    after: [leftOut.node],
  });
  const evictions = makeFigure("evictions", {
    title: "Evictions", label: "Tokens held against the budget, and tokens removed at each eviction",
    text: "Each new chunk fills the layers beyond their budget; an eviction brings them back to it. Bars: tokens evicted; stripes: merged into a summary token; ◆: positions re-indexed. Outlined: when the evidence of the last answer was seen.",
  });
  const fade = TIERS.map((name, tier) => makeFigure(`fade${tier}`, {
    title: `Retention, ${name}`, text: "",
    label: `How much of each frame ${["sensory memory", "working memory", "long-term memory", "all layers"][tier]} held over stream time`,
  }));
  fade.forEach((figure, tier) => {
    figure.node.querySelector("h3").replaceWith(h("h4", { class: "hl-trio-name" }, h("span", { class: `hl-swatch hl-swatch-${tier}` }), TIERS[tier]));
    figure.caption.remove();
  });
  const fadeBox = h("div", { class: "hl-fade" },
    h("h3", {}, "Retention by frame"),
    h("p", { class: "hl-caption" }, "One line per frame, over stream time. It starts on the diagonal when the frame is seen and fades as the tier evicts its tokens."),
    h("div", { class: "hl-trio" }, fade.map((figure) => figure.node)), fade.map((figure) => figure.table)); // below: the tables are too wide side by side
  return { survival, leftOut, evictions, fade, fadeBox };
}

function makeHistory() {
  const summary = h("ul", { class: "hl-sentences" });
  const merges = h("ul", { class: "hl-sentences" });
  const empty = h("p", { class: "hl-figure-empty is-flat" });
  const figure = makeFigure("life", {
    title: "Token history of one frame", label: "Tokens of the frame held by each layer over stream time, and their importance",
    text: "Top: one ribbon per layer, as thick as the share of the frame’s tokens that it holds; ▼ marks tokens merged into a summary token. Bottom: the importance of these tokens in the selected layer at each eviction. Tokens below the mark (—) are evicted (✕).",
    before: [empty, summary], after: [merges],
  });
  return { figure, summary, merges, empty };
}

/** Build all elements. `tabChanged()` is called when another tab is shown. `served`: whether a server answers. Returns the nodes that the board updates. */
export function buildBoard(bus, tabChanged, served = true) {
  const caption = h("p", { class: "hl-caption" }, "No frames yet.");
  const meters = makeMeters();
  const legend = h("ul", { class: "hl-legend" });
  const { film, zoom } = makeFilm();
  const layers = makeLayers();
  const answer = makeAnswer();
  const retention = makeRetention();
  const history = makeHistory();
  const evidence = makeEvidence(bus);
  const live = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const tip = h("div", { class: "hl-tip", hidden: true, "aria-hidden": "true" });
  const action = (label, text) => h("button", { type: "button", class: "hl-tool", title: label, "aria-label": label }, text);
  const saves = { csv: action("Save the retention table as CSV", "Retention as CSV"), page: action("Save the board as a page that works offline", "Board as a page") };
  const timeline = makeTimeline();
  const memory = h("section", { class: "hl-board hl-memory is-empty", "aria-labelledby": "hl-board-title" },
    h("header", { class: "hl-board-head" }, h("h2", { id: "hl-board-title" }, "Memory board"), caption, meters.list),
    h("div", { class: "hl-board-empty" }, h("p", {}, "Press ", h("strong", {}, "Start"),
      ". Each frame becomes a column, each layer of the model a row. What the model still holds stays bright; what was evicted fades.")),
    legend, section("filmstrip", film.node), section("layers", layers.figure.node), section("timeline", timeline.node),
    h("p", { id: "hl-board-help", class: "hl-hidden" },
      "Use the arrow keys to move over frames and layers, with Shift for larger steps. Home and End go to the first and the newest frame. Enter opens the frame. Plus and minus zoom; zero shows the whole stream. Escape leaves the figure."),
    live, tip);
  const tabs = makeTabs({
    why: [section("evidence", evidence.node), section("answer", answer.figure.node)],
    evictions: [section("retention", h("div", { class: "hl-pair" }, retention.survival.node, retention.evictions.node), retention.fadeBox)],
    history: [section("life", layers.panel.node, history.figure.node)],
    explore: served ? [] : null,
    export: [h("div", { class: "hl-exports" }, h("p", { class: "hl-caption" }, "Each figure has its own Export menu: a table, PNG and SVG. These buttons save how many tokens each layer holds of every frame, and the whole board as one HTML file that opens without a server."),
      h("div", { class: "hl-tools", role: "group", "aria-label": "Save" }, saves.csv, saves.page))],
  }, (tab) => {
    tabChanged();
    bus.publish("tab", tab);
  });
  const root = h("section", { class: "hl-board hl-below is-empty", "aria-label": "Details of the memory" }, tabs.list, ...tabs.nodes,
    h("details", { class: "hl-glossary" }, h("summary", {}, "What do these terms mean?"),
      h("dl", {}, GLOSSARY.map(([term, meaning]) => h("div", {}, h("dt", {}, term), h("dd", {}, meaning))))));
  tabs.select("why");
  return { root, memory, caption, meter: meters.set, legend, film, zoom, layers, timeline, answer, retention, history, evidence, live, tip, saves, tabs };
}
