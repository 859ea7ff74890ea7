// The cards of a comparison: for each method the tokens that it retains, its last answer with the verdict, and its costs.
import { cellPicture, putCell } from "../shared/cells.js";
import { fromBase64 } from "../board/codec.js";
import { titleOf } from "../board/evidence.js";
import { h, icon, setText } from "../shared/dom.js";
import { bytes, count, percent, shortNumber, whole } from "../shared/format.js";
import { readPalette, rgba, shareAlpha } from "../shared/palette.js";

export const UNSEEN = 255;
/** Marks of correct and wrong answers. */
export const MARKS = { true: "✓ ", false: "✗ ", null: "" };
const WORDS = { waiting: "waiting …", idle: "not asked yet" };
const LEGEND = "Columns: time in the clip. Rows: layers, 0 on top. Grey: evicted. Dark line: evidence.";
const KEYS = [["sensory", "sensory"], ["working", "working"], ["longterm", "long-term"], ["neutral", "no tiers"], ["read", "answer attention"]];
/** In wide but low windows, three and more cards show their verdicts folded, so that the table of questions fits below. */
const LOW_WINDOW = "(min-width: 1101px) and (max-height: 799px)";
const FOLDED_FROM = 3;

/** Share of the tokens seen so far that a memory holds. Pure. */
export function heldShare(held) {
  const seen = held.filter((value) => value !== UNSEEN);
  return seen.length ? seen.reduce((sum, value) => sum + value, 0) / seen.length / 254 : 0;
}

/** Times to the first token: the median in milliseconds, and below it the range of several answers. */
function firstToken(first) {
  if (!first) return ["–", ""];
  const range = `${shortNumber(first.low)} to ${shortNumber(first.high)} in ${count(first.count, "answer")}`;
  return [`${shortNumber(first.median)} ms`, first.count > 1 ? range : "one answer"];
}

/**
 * Costs of a method: [[name, value, note, explanation]]. The archive is listed if `archive` is set, which means that a method of the
 * comparison uses one. Pure.
 */
export function metrics(lane, archive = true) {
  const none = "–";
  const has = lane.resident !== undefined;
  const rows = [
    ["Tokens held", has ? whole(lane.resident) : none, has ? `of ${whole(lane.seen)}` : "", "video tokens in the fullest layer, of those seen"],
    ["Tokens read", lane.read === undefined ? none : whole(lane.read), "", "video tokens that a layer read for the last answer"],
    ["First token", ...firstToken(lane.first), "median time from the question to the first token of the answer, after an untimed warm-up"],
  ];
  if (archive) {
    rows.push(["Archive", has ? bytes(lane.archive) : none, "", "stored outside the budget, in host memory or on disk"],
      ["Fetched", lane.moved === undefined ? none : bytes(lane.moved), "", "fetched from the archive for the last answer"]);
  }
  return rows;
}

/** Text in place of a memory's answer. Pure. */
export function answerOf(lane) {
  if (lane.state === "done") return `${MARKS[lane.verdict?.right ?? null]}${lane.answer || "(no answer)"}`;
  return { writing: lane.answer || "…", refused: lane.answer, failed: lane.error }[lane.state] ?? WORDS[lane.state] ?? "";
}

/** Draw the tokens held, one row per layer over the time of the clip, with the last answer's attention below. */
function drawHeld(canvas, lane, index, columns, palette) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !lane.held) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.clearRect(0, 0, width, height);
  const held = fromBase64(lane.held);
  const top = height - 22;
  ctx.fillStyle = rgba(palette.ink, 0.03);
  ctx.fillRect(0, 0, width, top);
  const picture = cellPicture(`lab${index}`, columns, lane.layers, (data) => {
    for (let layer = 0; layer < lane.layers; layer += 1) {
      for (let column = 0; column < columns; column += 1) {
        const value = held[layer * columns + column];
        if (value === UNSEEN) continue;
        const colour = palette.tiers[lane.tiers ? lane.tiers[layer] : 3];
        if (value) putCell(data, columns, column, layer, colour, shareAlpha(value / 254));
        else putCell(data, columns, column, layer, palette.ink, 0.07);
      }
    }
  });
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(picture, 0, 0, width, top);
  ctx.fillStyle = rgba(palette.ink, 0.03);
  ctx.fillRect(0, top + 4, width, 18);
  if (!lane.spots) return;
  ctx.fillStyle = rgba(palette.read, 0.95);
  fromBase64(lane.spots).forEach((value, column) => {
    const size = (value / 255) * 18;
    if (size > 0.3) ctx.fillRect((column / columns) * width, height - size, Math.max(1, width / columns), size);
  });
}

/** Mark the moments of the evidence on the drawing. */
function markEvidence(canvas, lane, duration, palette) {
  if (!lane.verdict || !duration) return;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = rgba(palette.ink, 0.9);
  for (const [start, end] of lane.verdict.moments) {
    const left = (start / duration) * canvas.clientWidth;
    const width = Math.max(2, ((end - start) / duration) * canvas.clientWidth);
    ctx.fillRect(left, canvas.clientHeight - 21, width, 2.5);
  }
}

/** A verdict's sentence without its title, which is shown above it. Pure. */
export function reasonOf({ sentence, title }) {
  const rest = sentence.startsWith(`${title}: `) ? sentence.slice(title.length + 2) : sentence;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

/** The elements of one method; `open()` shows it elsewhere. */
function makeCard(open) {
  const node = {
    title: h("h3"), badge: h("span", { class: "hl-badge" }), canvas: h("canvas", { role: "img" }), list: h("dl"),
    board: h("button", { type: "button", class: "hl-link", hidden: true, onclick: open }, icon("layers"), h("span")),
    answer: h("p", { class: "hl-lab-answer" }), verdict: h("details", { class: "hl-lab-verdict", hidden: true }, h("summary"), h("p")),
  };
  node.root = h("li", {}, h("header", {}, node.title, node.badge), node.canvas,
    h("p", { class: "hl-lab-axis" }, h("span", {}, "start of the clip"), h("span", {}, "end")), node.answer, node.verdict, node.list, node.board);
  return node;
}

function drawCard(node, lane, { link, archive }) {
  node.board.hidden = !link;
  if (link) {
    setText(node.board.lastChild, link.text);
    node.board.setAttribute("aria-label", link.label(lane.title));
  }
  setText(node.title, lane.title);
  setText(node.badge, lane.badge);
  node.badge.hidden = !lane.badge;
  node.root.dataset.state = lane.state;
  if (lane.held) node.canvas.setAttribute("aria-label", `${lane.title} holds ${percent(heldShare(fromBase64(lane.held)))} of all tokens seen so far; one row per layer, layer 0 at the top.`);
  node.answer.dataset.right = String(lane.verdict?.right ?? "");
  setText(node.answer, answerOf(lane));
  const verdict = lane.state === "done" ? lane.verdict : null;
  node.verdict.hidden = !verdict?.sentence;
  if (verdict?.sentence) {
    const title = titleOf(verdict);
    setText(node.verdict.firstChild, title);
    setText(node.verdict.lastChild, reasonOf({ sentence: verdict.sentence, title }));
  }
  const rows = metrics(lane, archive);
  if (node.list.childElementCount !== rows.length) {
    node.list.replaceChildren(...rows.map(([name, , , about]) => h("div", { title: about }, h("dt", {}, name), h("dd", {}, h("span"), h("small")))));
  }
  rows.forEach(([, value, note], i) => {
    setText(node.list.children[i].lastChild.firstChild, value);
    setText(node.list.children[i].lastChild.lastChild, note);
  });
}

/** The legend of the drawings. */
export function makeLegend() {
  return h("p", { class: "hl-caption hl-lab-legend" }, h("span", {}, LEGEND), KEYS.map(([colour, name]) => h("span", {}, h("i", { style: `background: var(--hl-${colour})` }), name)));
}

/**
 * Build the cards. `links`: {recorded, live}, each {text, label(title), open(i)}: what opens method i elsewhere; null: nothing does.
 * Returns {root, draw(state), paint()}; `paint` redraws the canvases, which a hidden view does not.
 */
export function makeCards(name, links) {
  let state = { lanes: [], columns: 0, duration: null };
  let cards = [];
  const root = h("ul", { class: "hl-lab-lanes", "aria-label": name });
  const linkOf = (of) => (of.run ? links?.recorded : links?.live) ?? null;
  const low = matchMedia(LOW_WINDOW);
  low.addEventListener("change", foldVerdicts);
  new ResizeObserver(() => paint()).observe(root);

  function foldVerdicts() {
    for (const card of cards) card.verdict.open = !low.matches || cards.length < FOLDED_FROM;
  }

  function paint() {
    if (!root.clientWidth) return; // not visible
    const palette = readPalette(root);
    state.lanes.forEach((lane, i) => {
      if (!cards[i]) return;
      drawHeld(cards[i].canvas, lane, i, state.columns, palette);
      markEvidence(cards[i].canvas, lane, state.duration, palette);
    });
  }

  return {
    root,
    paint,
    draw(next) {
      state = next;
      if (cards.length !== state.lanes.length) {
        cards = state.lanes.map((_, i) => makeCard(() => linkOf(state)?.open(i)));
        root.replaceChildren(...cards.map((node) => node.root));
        root.style.setProperty("--hl-methods", String(state.lanes.length));
        foldVerdicts();
      }
      const archive = state.lanes.some((lane) => lane.archive || lane.moved);
      state.lanes.forEach((lane, i) => drawCard(cards[i], lane, { link: linkOf(state), archive }));
      paint();
    },
  };
}
