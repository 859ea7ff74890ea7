// The memory board: one component that keeps the state, lays the figures out and redraws them when something changed.
// A figure is an object {canvas, layout, draw, hit, describe}; new views are added to `figures`.
import { TIERS, apply, emptyState, seenColumns } from "./codec.js";
import { h, setText } from "./dom.js";
import { bytes, clock, percent, shortNumber, whole } from "./format.js";
import { drawLayers, hitLayers, layoutLayers } from "./layers.js";
import { readPalette } from "./palette.js";
import { drawReading, hitReading, layoutReading } from "./reading.js";
import { describeRetention, drawRetention, hitRetention, layoutRetention } from "./retention.js";
import { moveCursor, nearestColumn } from "./scales.js";
import { TIER_WORDS, describeBoard, describeCell, describeReading, frameTime, speakCell } from "./words.js";

const GLOSSARY = [
  ["Token", "A small piece of a frame, turned into numbers. A frame of this model is a handful of tokens."],
  ["Layer", "The model reads in steps, one layer after the other. Each layer keeps its own memory of the video."],
  ["Cache", "What the layers remember: the keys and values of the tokens they still hold."],
  ["Budget", "How many video tokens a layer may hold. Above it, the least important ones are let go."],
  ["Tier", "A group of layers with one habit: sensory, working or long-term memory."],
];

/** Parts of a message that change what the figures show. */
const DRAWN = ["meta", "columns", "held", "history", "answer", "thumbs"];

/** Build the board inside `element`. Returns {receive(message), acknowledged()}. */
export function mountBoard(element, bus) {
  const ui = buildBoard();
  element.replaceChildren(ui.root);
  let state = emptyState();
  let palette = readPalette(ui.root);
  let cursor = null;
  let pending = false;
  let shownAnswer = null;
  const pictures = new Map();

  const images = (frame) => {
    if (!pictures.has(frame)) {
      const image = new Image();
      pictures.set(frame, image);
      image.onload = redraw;
      image.src = `data:image/jpeg;base64,${state.thumbs.get(frame)}`;
    }
    const image = pictures.get(frame);
    return image.complete && image.naturalWidth ? image : null;
  };

  const figures = [
    { canvas: ui.layers, layout: layoutLayers, height: (l) => l.height, draw: drawLayers, hit: hitLayers },
    { canvas: ui.reading, layout: layoutReading, height: (l) => l.height, draw: drawReading, hit: hitReading },
    ...ui.retention.map((canvas, tier) => ({
      canvas, layout: layoutRetention, height: (l) => l.total,
      draw: (ctx, layout, view) => drawRetention(ctx, layout, tier, view),
      hit: () => null,
      note: (layout, x, y) => {
        const at = hitRetention(layout, state, x, y);
        return at && describeRetention(state, tier, at);
      },
    })),
  ];

  function redraw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      if (!document.hidden) paint();
    });
  }

  function paint() {
    const empty = !state.meta || !state.frames;
    ui.root.classList.toggle("is-empty", empty);
    if (empty) return;
    ui.readingEmpty.hidden = Boolean(state.answer);
    for (const figure of figures) {
      const width = figure.canvas.parentElement.clientWidth;
      if (!width || (figure.at && !figure.inView)) continue; // drawn when it comes into view
      figure.at = figure.layout(width, state.meta);
      const ratio = Math.min(3, window.devicePixelRatio || 1);
      const tall = figure.height(figure.at);
      const size = [Math.round(width * ratio), Math.round(tall * ratio)];
      if (figure.canvas.width !== size[0] || figure.canvas.height !== size[1]) {
        [figure.canvas.width, figure.canvas.height] = size;
        figure.canvas.style.height = `${tall}px`;
      }
      const ctx = figure.canvas.getContext("2d");
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      ctx.clearRect(0, 0, width, tall);
      figure.draw(ctx, figure.at, { state, palette, ratio, cursor, images });
    }
  }

  function words() {
    if (!state.meta) return;
    setText(ui.caption, describeBoard(state));
    const m = state.meters;
    if (m) {
      ui.meter("tokens", whole(m.kept), `of ${whole(m.seen)} seen, per layer`);
      ui.meter("cache", bytes(m.cache), `full cache: ${bytes(m.full)}`);
      ui.meter("ingest", m.fps > 0 ? shortNumber(m.fps) : "–", "frames a second");
      ui.meter("first", m.first === null ? "–" : `${whole(m.first)} ms`, m.first === null ? "ask to measure" : "to the first token");
      ui.meter("dropped", whole(m.dropped), m.skipped ? `and ${whole(m.skipped)} unreadable` : "camera frames missed");
    }
    setText(ui.readingText, state.answer ? describeReading(state) : "");
    if (shownAnswer !== state.answer) {
      shownAnswer = state.answer;
      ui.readingAsked.replaceChildren(...(state.answer ? [`${state.answer.question} `, h("strong", {}, state.answer.answer)] : []));
      ui.peaks.replaceChildren(...(state.answer?.peaks ?? []).map(peak));
    }
  }

  /** One of the frames that the answer read most, as a button that shows it above. */
  function peak({ frame, share, jpeg }) {
    const seconds = frameTime(state, frame);
    const name = `Frame at ${clock(seconds, true)}`;
    return h("li", {}, h("button", { type: "button", title: "Show it on the board", onclick: () => bus.say("goto", seconds) },
      jpeg ? h("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: name }) : h("span", { class: "hl-clip-blank" }),
      h("strong", {}, percent(share)), h("span", {}, clock(seconds, true))));
  }

  function select(next, spoken) {
    cursor = next;
    if (cursor && spoken) setText(ui.live, speakCell(state, { column: cursor.column, layer: cursor.layer ?? 0 }));
    redraw();
  }

  function tip(canvas, box, note) {
    ui.tip.replaceChildren(h("strong", {}, note.title), ...note.lines.map((line) => h("span", {}, line)));
    ui.tip.hidden = false;
    const root = ui.root.getBoundingClientRect();
    const frame = canvas.getBoundingClientRect();
    const x = frame.left - root.left + box.x;
    const y = frame.top - root.top + box.y;
    const left = Math.max(8, Math.min(root.width - ui.tip.offsetWidth - 8, x - ui.tip.offsetWidth / 2));
    const above = y - ui.tip.offsetHeight - 14;
    ui.tip.style.transform = `translate(${left}px, ${above < 8 ? y + 18 : above}px)`;
  }

  for (const figure of figures) {
    const point = (event) => {
      if (!figure.at || !state.frames) return;
      const x = event.offsetX;
      const y = event.offsetY;
      const hit = figure.hit(figure.at, state, x, y);
      const note = hit ? describeCell(state, { column: hit.column, layer: hit.layer ?? 0 }) : figure.note?.(figure.at, x, y);
      if (hit && hit.layer === null) note.lines = [`held by ${layersHolding(hit.column)} of ${state.meta.layers} layers`];
      if (note) tip(figure.canvas, { x, y }, note);
      else ui.tip.hidden = true;
      select(hit, false);
    };
    figure.canvas.addEventListener("pointermove", point);
    figure.canvas.addEventListener("pointerdown", point); // a finger touches without moving
    figure.canvas.addEventListener("pointerleave", () => {
      ui.tip.hidden = true;
      select(document.activeElement === ui.layers ? cursor : null, false);
    });
  }

  function layersHolding(column) {
    let holding = 0;
    for (let layer = 0; layer < state.meta.layers; layer += 1) holding += state.kept[layer * state.meta.columns + column] > 0;
    return holding;
  }

  ui.layers.addEventListener("keydown", (event) => {
    if (!state.meta) return;
    if (event.key === "Escape") {
      ui.tip.hidden = true;
      return select(null, false);
    }
    const at = cursor && { column: cursor.column, layer: cursor.layer ?? 0 };
    const next = moveCursor(at, event.key, event.shiftKey, seenColumns(state), state.meta.layers);
    if (!next) return undefined;
    event.preventDefault();
    select(next, true);
    const layout = figures[0].at;
    if (layout) tip(ui.layers, { x: layout.scale.x(next.column), y: layout.rows.top(next.layer) }, describeCell(state, next));
    return undefined;
  });
  ui.layers.addEventListener("blur", () => {
    ui.tip.hidden = true;
    select(null, false);
  });

  bus.on("view", (view) => {
    if (!view.restarted) return;
    state = emptyState(); // the next message is then a key frame
    cursor = null;
    setText(ui.caption, "Nothing seen yet.");
    redraw();
  });
  bus.on("goto", (seconds) => {
    const column = nearestColumn(state.times, seenColumns(state), seconds);
    if (column < 0) return;
    select({ column, layer: null }, false);
    ui.layers.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  });
  new ResizeObserver(redraw).observe(ui.root);
  const eye = new IntersectionObserver((entries) => {
    for (const entry of entries) figures.find((figure) => figure.canvas === entry.target).inView = entry.isIntersecting;
    redraw();
  }, { rootMargin: "300px" });
  figures.forEach((figure) => eye.observe(figure.canvas));
  new MutationObserver(() => {
    palette = readPalette(ui.root);
    redraw();
  }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  document.addEventListener("visibilitychange", () => document.hidden || redraw());

  return {
    receive(message) {
      const next = apply(state, message);
      if (next && message.base === null && !message.keep_thumbs) pictures.clear();
      state = next ?? { ...state, seq: null };
      if (next && cursor && cursor.column >= seenColumns(state)) cursor = null;
      words();
      if (DRAWN.some((part) => message[part] !== undefined)) redraw();
    },
    acknowledged: () => state.seq,
  };
}

function buildBoard() {
  const canvas = (label, focusable) => h("canvas", {
    role: focusable ? "application" : "img", "aria-label": label, tabindex: focusable ? "0" : null,
    "aria-roledescription": focusable ? "memory board" : null, "aria-describedby": focusable ? "hl-board-help" : null,
  });
  const meters = new Map();
  const meter = (name, label) => {
    const value = h("dd", { class: "hl-meter-value" }, "–");
    const note = h("dd", { class: "hl-meter-note" }, " ");
    meters.set(name, [value, note]);
    return h("div", { class: "hl-meter" }, h("dt", {}, label), value, note);
  };
  const layers = canvas("What each layer still holds of each frame", true);
  const reading = canvas("What the last answer read, layer by layer over the frames", false);
  const retention = TIERS.map((tier) => canvas(`How much of each frame ${tier} memory held over stream time`, false));
  const caption = h("p", { class: "hl-caption" }, "Nothing seen yet.");
  const readingText = h("p", { class: "hl-caption" });
  const peaks = h("ul", { class: "hl-peaks", "aria-label": "Frames that the answer read most" });
  const readingAsked = h("p", { class: "hl-quote" });
  const readingEmpty = h("p", { class: "hl-figure-empty" }, "Ask something: this will show which frames the answer looked at.");
  const live = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const tip = h("div", { class: "hl-tip", hidden: true, "aria-hidden": "true" });
  const root = h("section", { class: "hl-board is-empty", "aria-labelledby": "hl-board-title" },
    h("header", { class: "hl-board-head" },
      h("div", {}, h("h2", { id: "hl-board-title" }, "Memory board"), caption),
      h("dl", { class: "hl-meters" }, meter("tokens", "Tokens kept"), meter("cache", "Cache"), meter("ingest", "Ingest"),
        meter("first", "First token"), meter("dropped", "Dropped"))),
    h("ul", { class: "hl-legend" }, TIERS.map((tier, i) => h("li", {},
      h("span", { class: `hl-swatch hl-swatch-${i}` }),
      h("span", {}, h("strong", {}, `${tier[0].toUpperCase()}${tier.slice(1)}`), ` ${TIER_WORDS[i]}`)))),
    h("div", { class: "hl-board-empty" },
      h("p", {}, "Press ", h("strong", {}, "Start"), ". Each frame becomes a column, each layer of the model a row. A filled cell is still remembered; a pale one is forgotten.")),
    h("figure", { class: "hl-figure" },
      h("figcaption", {}, h("h3", {}, "What each layer still holds"),
        h("p", {}, "Left to right: the frames. Top to bottom: the layers. The stronger the colour, the more of that frame is kept.")),
      h("div", { class: "hl-canvas" }, layers)),
    h("div", { class: "hl-pair" },
      h("figure", { class: "hl-figure" },
        h("figcaption", {}, h("h3", {}, "What the last answer read"), readingAsked, peaks, readingText),
        h("div", { class: "hl-canvas" }, reading, readingEmpty)),
      h("figure", { class: "hl-figure" },
        h("figcaption", {}, h("h3", {}, "How memories fade"),
          h("p", {}, "A line for every frame: it starts on the diagonal when it is seen, and pales as the tier lets go of it.")),
        h("div", { class: "hl-trio" }, retention.map((node, i) => h("div", {},
          h("p", { class: "hl-trio-name" }, h("span", { class: `hl-swatch hl-swatch-${i}` }), TIERS[i]),
          h("div", { class: "hl-canvas" }, node)))))),
    h("details", { class: "hl-glossary" }, h("summary", {}, "What do these words mean?"),
      h("dl", {}, GLOSSARY.map(([term, meaning]) => h("div", {}, h("dt", {}, term), h("dd", {}, meaning))))),
    h("p", { id: "hl-board-help", class: "hl-hidden" },
      "Arrow keys move over frames and layers, with Shift in larger steps. Home and End go to the first and newest frame. Escape leaves."),
    live, tip);
  return {
    root, layers, reading, retention, caption, readingText, readingAsked, readingEmpty, peaks, live, tip,
    meter: (name, value, note) => {
      setText(meters.get(name)[0], value);
      setText(meters.get(name)[1], note);
    },
  };
}
