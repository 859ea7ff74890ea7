// The board's elements: what stands where, and the words beside each figure. No state, no drawing.
import { TIERS } from "./codec.js";
import { h, setText } from "../shared/dom.js";
import { makeFate } from "./evidence.js";
import { MODES } from "./layers.js";

const GLOSSARY = [
  ["Token", "A small piece of a frame (a patch), turned into numbers. A frame of this model is a handful of tokens."],
  ["Layer", "The model reads in steps, one layer after the other. Each layer keeps its own memory of the video."],
  ["Cache", "What the layers remember: the keys and values of the tokens they still hold."],
  ["Budget", "How many video tokens a layer may hold. Above it, the least important ones are let go."],
  ["Eviction", "The moment at which a layer that is over its budget lets go of tokens."],
  ["Importance", "The score that decides: recency and attention, mixed differently in each layer."],
  ["Recency", "1 for the newest token, falling towards 0 with distance. How fast it falls depends on the layer."],
  ["Guidance", "A generic prompt that stands in for the questions nobody has asked yet; what it attends to counts as important."],
  ["Summary token", "One token into which a long-term layer folds what it lets go, so that a trace remains."],
  ["Re-indexing", "Positions of the tokens that stayed are counted afresh, so that they stay in the range the model knows."],
];

/** A figure: title, words, tools (table, PNG, SVG) and a canvas under a pane of glass for the cursor. */
function makeFigure(name, { title, words, label, focusable, before = [], after = [], wide = true }) {
  const canvas = h("canvas", {
    role: focusable ? "application" : "img", "aria-label": label, tabindex: focusable ? "0" : null,
    "aria-roledescription": focusable ? "memory board" : null, "aria-describedby": focusable ? "hl-board-help" : null,
  });
  const glass = h("canvas", { class: "hl-glass", "aria-hidden": "true" });
  const caption = h("p", {}, words);
  const tool = (text, what) => h("button", { type: "button", class: "hl-tool", "aria-label": `${text}: ${title}`, "data-tool": what }, text);
  const tools = { table: tool("Table", "table"), png: tool("PNG", "png"), svg: tool("SVG", "svg") };
  tools.table.setAttribute("aria-pressed", "false");
  const table = h("div", { class: "hl-table", role: "region", tabindex: "0", "aria-label": `Table: ${title}`, hidden: true });
  const box = h("div", { class: "hl-canvas" }, canvas, glass);
  const node = h("figure", { class: `hl-figure${wide ? "" : " is-half"}` },
    h("figcaption", {}, h("div", { class: "hl-figure-head" }, h("h3", {}, title),
      h("div", { class: "hl-tools" }, Object.values(tools))), caption),
    ...before, box, table, ...after);
  return { name, title, node, canvas, glass, box, caption, tools, table };
}

function makeMeters() {
  const nodes = new Map();
  const meter = (name, label) => {
    const value = h("dd", { class: "hl-meter-value" }, "–");
    const note = h("dd", { class: "hl-meter-note" }, " ");
    nodes.set(name, [value, note]);
    return h("div", { class: "hl-meter" }, h("dt", {}, label), value, note);
  };
  const list = h("dl", { class: "hl-meters" }, meter("tokens", "Tokens kept"), meter("cache", "Cache"), meter("ingest", "Ingest"),
    meter("first", "First token"), meter("dropped", "Dropped"));
  return { list, say: (name, value, note) => {
    setText(nodes.get(name)[0], value);
    setText(nodes.get(name)[1], note);
  } };
}

const VIEWS = [["filmstrip", "Filmstrip"], ["layers", "Layer by layer"], ["answer", "Last answer"], ["fate", "Fate of the evidence"], ["retention", "Retention"], ["life", "Life of a frame"]];

function section(view, ...children) {
  return h("section", { class: "hl-section", "data-view": view, "aria-label": VIEWS.find(([name]) => name === view)[1] }, children);
}

function makeFilm() {
  const button = (label, text) => h("button", { type: "button", class: "hl-tool", "aria-label": label, title: label }, text);
  const zoom = {
    closer: button("Zoom in", "+"), wider: button("Zoom out", "−"), whole: button("Show the whole stream", "Whole"),
    earlier: button("Earlier", "◀"), later: button("Later", "▶"), said: h("p", { class: "hl-window" }),
  };
  const bar = h("div", { class: "hl-zoom" }, h("div", { class: "hl-tools", role: "group", "aria-label": "Zoom of the time axis" },
    zoom.earlier, zoom.wider, zoom.closer, zoom.later, zoom.whole), zoom.said);
  const film = makeFigure("film", {
    title: "What is still remembered", label: "Filmstrip of memory: the patches of each picture that each tier still holds", focusable: true,
    words: "Each column is a moment of the stream, each strip a tier of the model’s memory. Bright patches are still held; faded ones are forgotten. The bar below a picture says how much of it is left.",
    before: [bar],
  });
  return { film, zoom };
}

function makeLayers() {
  const modes = Object.entries(MODES).map(([mode, { label }]) => h("button", {
    type: "button", role: "radio", "aria-checked": String(mode === "kept"), "data-mode": mode }, label));
  const modeGroup = h("div", { class: "hl-segments is-small hl-modes", role: "radiogroup", "aria-label": "What the cells show" }, modes);
  const scale = h("p", { class: "hl-scale" });
  const figure = makeFigure("layers", {
    title: "Layer by layer", label: "What each layer still holds of each frame", focusable: true,
    words: "Each column is a frame, each row a layer of the model. Click a cell (or press Enter) to open the frame as that layer remembers it.",
    before: [h("div", { class: "hl-mode-row" }, modeGroup, scale)],
  });
  const panel = makePanel();
  return { figure, modes, modeGroup, scale, panel };
}

function makePanel() {
  const heading = h("h4", { tabindex: "-1" }, "");
  const layer = h("select", { class: "hl-select", "aria-label": "Layer" });
  const step = (label, text) => h("button", { type: "button", class: "hl-tool", "aria-label": label, title: label }, text);
  const controls = { layer, before: step("Frame before", "◀"), after: step("Frame after", "▶"), life: step("Show its life", "Its life ↓"), close: step("Close the frame", "✕") };
  const text = h("p", { class: "hl-caption" });
  const picture = makeFigure("picture", {
    title: "As this layer remembers it", label: "The frame with the patches that the layer still holds", focusable: true, wide: false,
    words: "Bright patches are held, faded ones forgotten. Point at a patch to read its score.",
  });
  const minis = makeFigure("minis", {
    title: "The same frame in every layer", label: "Patches of the frame that each layer holds", focusable: false, wide: false,
    words: "Coloured patches are held. Click a layer to see it on the left.",
  });
  const node = h("div", { class: "hl-panel", hidden: true, role: "group", "aria-label": "One frame" },
    h("div", { class: "hl-panel-head" }, heading, h("div", { class: "hl-tools" }, controls.before, controls.after, layer, controls.life, controls.close)),
    text, h("div", { class: "hl-panel-body" }, picture.node, minis.node));
  return { node, heading, text, picture, minis, ...controls };
}

function makeAnswer() {
  const peaks = h("ul", { class: "hl-peaks", "aria-label": "Frames that the answer read most" });
  const asked = h("p", { class: "hl-quote" });
  const text = h("p", { class: "hl-caption" });
  const empty = h("p", { class: "hl-figure-empty" }, "Ask something: this will show which frames the answer looked at.");
  const rows = h("select", { class: "hl-select", "aria-label": "Rows of the figure" });
  const figure = makeFigure("reading", {
    title: "What the last answer read", label: "What the last answer read, layer by layer over the frames", focusable: false,
    words: "The model’s own attention while it wrote the answer. The curve is the mean of all layers. Below, a row a layer: the stronger, the more it read there, each row on the scale of its own strongest frame.",
    before: [asked, peaks, text, h("label", { class: "hl-rows" }, "Rows ", rows)],
  });
  figure.box.append(empty);
  return { figure, peaks, asked, text, empty, rows };
}

function makeRetention() {
  const survival = makeFigure("survival", {
    title: "How much survives", label: "Survival curves: share of a frame's tokens still held, by the frame's age", focusable: false, wide: false,
    words: "Left: a frame just seen. Right: a frame seen long ago. The line is the mean share of its tokens still held (pale where only a few frames are that old); the band holds the middle half of the frames.",
  });
  const evictions = makeFigure("evictions", {
    title: "Evictions", label: "Tokens held against the budget, and what each eviction let go", focusable: false, wide: false,
    words: "Each new chunk fills the layers above their budget; an eviction brings them back. Bars: tokens let go; stripes in a bar: folded into a summary token; ◆: positions compacted (re-indexing).",
  });
  const fade = TIERS.map((name, tier) => makeFigure(`fade${tier}`, {
    title: `How memories fade, ${name}`, words: "", focusable: false,
    label: `How much of each frame ${["sensory memory", "working memory", "long-term memory", "every layer"][tier]} held over stream time`,
  }));
  fade.forEach((figure, tier) => {
    figure.node.querySelector("h3").replaceWith(h("h4", { class: "hl-trio-name" }, h("span", { class: `hl-swatch hl-swatch-${tier}` }), TIERS[tier]));
    figure.caption.remove();
  });
  const fadeBox = h("div", { class: "hl-fade" },
    h("h3", {}, "How memories fade"),
    h("p", { class: "hl-caption" }, "A line for every frame: it starts on the diagonal when the frame is seen, and pales as the tier lets go of it."),
    h("div", { class: "hl-trio" }, fade.map((figure) => figure.node)), fade.map((figure) => figure.table)); // side by side they had no room
  return { survival, evictions, fade, fadeBox };
}

function makeLife() {
  const told = h("ul", { class: "hl-told" });
  const folds = h("ul", { class: "hl-told" });
  const empty = h("p", { class: "hl-figure-empty is-flat" }, "Click a cell of “Layer by layer” above: this will tell the life of that frame, from the moment it was seen.");
  const figure = makeFigure("life", {
    title: "The life of one frame", label: "What each layer held of the frame over stream time, and the scores of its tokens", focusable: false,
    words: "Above: a ribbon a layer, as thick as the share of the frame’s tokens it holds; ▼ tokens folded into a summary. Below: the scores of these tokens in the chosen layer at each eviction; what falls below the mark (—) leaves (✕).",
    before: [empty, told], after: [folds],
  });
  return { figure, told, folds, empty };
}

/** Build everything; returns the nodes that the board fills. */
export function buildBoard(bus) {
  const caption = h("p", { class: "hl-caption" }, "Nothing seen yet.");
  const meters = makeMeters();
  const legend = h("ul", { class: "hl-legend" });
  const { film, zoom } = makeFilm();
  const layers = makeLayers();
  const answer = makeAnswer();
  const retention = makeRetention();
  const life = makeLife();
  const fate = makeFate(bus);
  const live = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const tip = h("div", { class: "hl-tip", hidden: true, "aria-hidden": "true" });
  const action = (label, text) => h("button", { type: "button", class: "hl-tool", title: label, "aria-label": label }, text);
  const saves = { csv: action("Save the retention table as CSV", "Retention as CSV"), page: action("Save the board as a page that opens without a server", "Board as a page") };
  const jumps = VIEWS.map(([view, name]) => h("button", { type: "button", class: "hl-jump", "data-jump": view }, name));
  const root = h("section", { class: "hl-board is-empty", "aria-labelledby": "hl-board-title" },
    h("header", { class: "hl-board-head" }, h("div", {}, h("h2", { id: "hl-board-title" }, "Memory board"), caption), meters.list),
    h("div", { class: "hl-board-empty" }, h("p", {}, "Press ", h("strong", {}, "Start"),
      ". Each frame becomes a column, each layer of the model a row. What is still remembered stays bright; what is forgotten fades.")),
    h("div", { class: "hl-board-bar" }, h("nav", { class: "hl-jumps", "aria-label": "Views of the board" }, jumps),
      h("div", { class: "hl-tools", role: "group", "aria-label": "Save" }, saves.csv, saves.page)),
    legend,
    section("filmstrip", film.node),
    section("layers", layers.figure.node, layers.panel.node),
    section("answer", answer.figure.node),
    section("fate", fate.node),
    section("retention", h("div", { class: "hl-pair" }, retention.survival.node, retention.evictions.node), retention.fadeBox),
    section("life", life.figure.node),
    h("details", { class: "hl-glossary" }, h("summary", {}, "What do these words mean?"),
      h("dl", {}, GLOSSARY.map(([term, meaning]) => h("div", {}, h("dt", {}, term), h("dd", {}, meaning))))),
    h("p", { id: "hl-board-help", class: "hl-hidden" },
      "Arrow keys move over frames and layers, with Shift in larger steps. Home and End go to the first and newest frame. Enter opens the frame. Plus and minus zoom, zero shows the whole stream. Escape leaves."),
    live, tip);
  return { root, caption, meter: meters.say, legend, film, zoom, layers, answer, retention, life, fate, live, tip, saves, jumps };
}
