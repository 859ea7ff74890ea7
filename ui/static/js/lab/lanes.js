// The memories of the lab, live or recorded: tokens held, answers and costs of each, and the table of all questions.
import { cellPicture, putCell } from "../shared/cells.js";
import { fromBase64 } from "../board/codec.js";
import { h, icon, setText } from "../shared/dom.js";
import { bytes, clock, percent, shortNumber, whole } from "../shared/format.js";
import { readPalette, rgba, shareAlpha } from "../shared/palette.js";

export const UNSEEN = 255;
const WORDS = { waiting: "waiting …", idle: "not asked yet" };
const LEGEND = "Left to right: the clip. Each row is a layer, layer 0 at the top: coloured where it still holds tokens of that moment, grey where they were evicted. Below the rows: the attention of the last answer, and a short line that marks the evidence.";
const KEYS = [["sensory", "sensory layers"], ["working", "working layers"], ["longterm", "long-term layers"], ["neutral", "layers without tiers"], ["read", "attention of the last answer"]];
const MARKS = { true: "✓ ", false: "✗ ", null: "" };

/** Correct answers of each memory: [{right, of}]. Pure. */
export function score(asked, lanes) {
  return Array.from({ length: lanes }, (_, i) => {
    const known = asked.map((one) => one.replies[i]).filter((reply) => reply && reply.right !== null);
    return { right: known.filter((reply) => reply.right).length, of: known.length };
  });
}

/** Share of the tokens seen so far that a memory holds. Pure. */
export function heldShare(held) {
  const seen = held.filter((value) => value !== UNSEEN);
  return seen.length ? seen.reduce((sum, value) => sum + value, 0) / seen.length / 254 : 0;
}

/** Metrics of a memory: [[name, value, explanation]]. Pure. */
export function metrics(lane) {
  const none = "–";
  const has = lane.resident !== undefined;
  return [
    ["Tokens held", has ? `${whole(lane.resident)} of ${whole(lane.seen)}` : none, "video tokens in the fullest layer, out of those seen"],
    ["Tokens read", lane.read === undefined ? none : whole(lane.read), "video tokens that a layer read for the last answer"],
    ["First token", lane.first_ms === null ? none : `${shortNumber(lane.first_ms)} ms`, "from the question to the first token of the answer"],
    ["Archive", has ? bytes(lane.archive) : none, "stored outside the budget, in host memory or on disk"],
    ["Moved", lane.moved === undefined ? none : bytes(lane.moved), "fetched from the archive for the last answer"],
  ];
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

/** The elements of one memory; `open()` shows it on the board. */
function makeLane(open) {
  const node = {
    title: h("h3"), badge: h("span", { class: "hl-badge" }), canvas: h("canvas", { role: "img" }), list: h("dl"),
    board: h("button", { type: "button", class: "hl-link", hidden: true, onclick: open }, icon("layers"), h("span", {}, "Show on the board")),
    answer: h("p", { class: "hl-lab-answer" }), verdict: h("p", { class: "hl-lab-verdict" }),
  };
  node.root = h("li", {}, h("header", {}, node.title, node.badge), node.canvas,
    h("p", { class: "hl-lab-axis" }, h("span", {}, "start of the clip"), h("span", {}, "end")), node.answer, node.verdict, node.list, node.board);
  return node;
}

function drawLane(node, lane, recorded) {
  node.board.hidden = !recorded;
  node.board.setAttribute("aria-label", `Show ${lane.title} on the board`);
  setText(node.title, lane.title);
  setText(node.badge, lane.badge);
  node.root.dataset.state = lane.state;
  if (lane.held) node.canvas.setAttribute("aria-label", `${lane.title} holds ${percent(heldShare(fromBase64(lane.held)))} of all tokens seen so far; one row per layer, layer 0 at the top.`);
  node.answer.dataset.right = String(lane.verdict?.right ?? "");
  setText(node.answer, answerOf(lane));
  setText(node.verdict, lane.state === "done" ? lane.verdict?.sentence ?? "" : "");
  const rows = metrics(lane);
  if (node.list.childElementCount !== rows.length) {
    node.list.replaceChildren(...rows.map(([name, , about]) => h("div", { title: about }, h("dt", {}, name), h("dd"))));
  }
  rows.forEach(([, value], i) => setText(node.list.children[i].lastChild, value));
}

/** Build the memories and the table of questions; `open(i)` shows a recorded memory on the board. Returns {parts, draw(state), paint()}. */
export function makeLanes(open) {
  let state = { lanes: [], asked: [] };
  let lanes = [];
  const grid = h("ul", { class: "hl-lab-lanes", "aria-label": "Memories side by side" });
  const legend = h("p", { class: "hl-caption hl-lab-legend", hidden: true }, h("span", {}, LEGEND), KEYS.map(([colour, name]) => h("span", {}, h("i", { style: `background: var(--hl-${colour})` }), name)));
  const table = h("table", { class: "hl-lab-table" });
  const scroll = h("div", { class: "hl-lab-scroll", role: "group", tabindex: "0", "aria-label": "Table of all questions", hidden: true }, table);
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });
  new ResizeObserver(() => paint()).observe(grid);

  function paint() {
    if (!grid.clientWidth) return; // not visible
    const palette = readPalette(grid);
    state.lanes.forEach((lane, i) => {
      if (!lanes[i]) return;
      drawHeld(lanes[i].canvas, lane, i, state.columns, palette);
      markEvidence(lanes[i].canvas, lane, state.duration, palette);
    });
  }

  function drawTable() {
    scroll.hidden = !state.asked.length;
    const key = JSON.stringify([state.asked, state.lanes.map((lane) => [lane.title, lane.badge])]);
    if (table.dataset.key === key) return;
    table.dataset.key = key;
    if (scroll.hidden) return;
    const points = score(state.asked, state.lanes.length);
    table.replaceChildren(
      h("caption", {}, "All questions of this run"),
      h("thead", {}, h("tr", {}, ["at", "question", "correct answer"].map((name) => h("th", { scope: "col" }, name)),
        state.lanes.map((lane) => h("th", { scope: "col" }, lane.title, h("span", { class: "hl-badge" }, lane.badge))))),
      h("tbody", {}, state.asked.map((one) => h("tr", {}, h("td", {}, clock(one.at)), h("td", {}, one.question), h("td", {}, one.truth ?? "unknown"),
        one.replies.map((reply) => h("td", { "data-right": String(reply?.right ?? "") }, reply ? `${MARKS[reply.right]}${reply.answer}` : "–"))))),
      h("tfoot", {}, h("tr", {}, h("td"), h("td", {}, "correct"), h("td"), points.map(({ right, of }) => h("td", {}, of ? `${right} of ${of}` : "–")))));
    const last = state.asked.at(-1);
    setText(spoken, state.lanes.map((lane, i) => `${lane.title}: ${last.replies[i]?.answer ?? "no answer"}`).join(". "));
  }

  return {
    parts: { grid, legend, table: [scroll, spoken] },
    paint,
    draw(next) {
      state = next;
      legend.hidden = !state.lanes.length;
      if (lanes.length !== state.lanes.length) {
        lanes = state.lanes.map((_, i) => makeLane(() => open(i)));
        grid.replaceChildren(...lanes.map((node) => node.root));
      }
      state.lanes.forEach((lane, i) => drawLane(lanes[i], lane, Boolean(state.run)));
      drawTable();
      paint();
    },
  };
}
