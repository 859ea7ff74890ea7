// The lab: two to four memories see the same clip at the same time, and one question goes to all of them.
import { cellPicture, putCell } from "./cells.js";
import { fromBase64 } from "./codec.js";
import { h, icon, setText } from "./dom.js";
import { bytes, clock, percent, shortNumber, whole } from "./format.js";
import { readPalette, rgba, shareAlpha } from "./palette.js";
import { makePulse } from "./pulse.js";

export const UNSEEN = 255;
const START = ["hermes", "sliding-window", "full"];
const LANES = 4;
const SPEEDS = [[1, "1×"], [4, "4×"], [0, "Max"]];

/** The memories that are chosen: names without gaps and without the same twice. Pure. */
export function chosen(values) {
  return [...new Set(values.filter(Boolean))];
}

/** What the main button says and does. Pure. */
export function mainAction(state) {
  if (state === "playing") return { action: "pause", label: "Pause", icon: "pause" };
  if (state === "paused") return { action: "resume", label: "Resume", icon: "play" };
  return { action: "start", label: state === "ended" ? "Run again" : "Run", icon: "play" };
}

/** How many questions each lane answered rightly, and of how many: [{right, of}]. Pure. */
export function score(asked, lanes) {
  return Array.from({ length: lanes }, (_, i) => {
    const known = asked.map((one) => one.replies[i]).filter((reply) => reply && reply.right !== null);
    return { right: known.filter((reply) => reply.right).length, of: known.length };
  });
}

/** Share of all cells seen so far that a lane holds. Pure. */
export function heldShare(held) {
  const seen = held.filter((value) => value !== UNSEEN);
  return seen.length ? seen.reduce((sum, value) => sum + value, 0) / seen.length / 254 : 0;
}

/** A lane's figures as [name, value, explanation]. Pure. */
export function figures(lane) {
  const none = "–";
  const has = lane.resident !== undefined;
  return [
    ["Tokens held", has ? `${whole(lane.resident)} of ${whole(lane.seen)}` : none, "video tokens that the fullest layer holds, of all that it has seen"],
    ["Tokens read", lane.read === undefined ? none : whole(lane.read), "video tokens that a layer reads for the last answer"],
    ["First token", lane.first_ms === null ? none : `${shortNumber(lane.first_ms)} ms`, "from the question to the first token of the answer"],
    ["Archive", has ? bytes(lane.archive) : none, "kept outside the budget, in host memory or on disk"],
    ["Moved", lane.moved === undefined ? none : bytes(lane.moved), "fetched from the archive for the last answer"],
  ];
}

/** Draw what a lane holds: a row a layer, a column a stretch of the clip; below, where the last answer looked. */
export function drawHeld(canvas, lane, index, columns, palette) {
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

/** Mark where the evidence lies, over the drawing. */
export function markEvidence(canvas, lane, duration, palette) {
  if (!lane.verdict || !duration) return;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = rgba(palette.ink, 0.9);
  for (const [start, end] of lane.verdict.moments) {
    const left = (start / duration) * canvas.clientWidth;
    const width = Math.max(2, ((end - start) / duration) * canvas.clientWidth);
    ctx.fillRect(left, canvas.clientHeight - 21, width, 2.5);
  }
}

/** Build the lab inside `element`. `kit`: {clips, policies, budgets, send}. Returns {receive(state)}. */
export function mountLab(element, { clips, policies, budgets, send }) {
  let state = { state: "empty", lanes: [], asked: [], answering: false };
  let shown = -1;
  let noticeId = null;
  let lanes = [];
  const pulse = makePulse(() => root.open && send("lablook", { frame: shown }));
  const act = (action, more = {}) => {
    send("labdo", { action, ...more });
    setTimeout(pulse.now, 60);
  };

  const option = (value, text) => h("option", { value }, text);
  const select = (label, options, value) => {
    const node = h("select", {}, options);
    node.value = value;
    return [h("label", { class: "hl-lab-pick" }, h("span", {}, label), node), node];
  };
  const picks = Array.from({ length: LANES }, (_, i) => select(`Memory ${i + 1}`, [
    ...(i < 2 ? [] : [option("", "none")]), ...policies.map((policy) => option(policy.name, policy.title)),
  ], policies.some((policy) => policy.name === START[i]) ? START[i] : ""));
  const [clipLabel, clip] = select("Clip", clips.map((one) => option(one.id, `${one.title} (${clock(one.seconds)})`)), clips[0]?.id);
  const [budgetLabel, budget] = select("Budget", budgets.map((count) => option(String(count), `${whole(count)} tokens a layer`)), "128");
  const [speedLabel, speed] = select("Speed", SPEEDS.map(([value, text]) => option(String(value), text)), "4");
  const main = h("button", { type: "button", class: "hl-button is-main", onclick: press }, icon("play"), h("span", {}, "Run"));
  const end = h("button", { type: "button", class: "hl-button", disabled: true, onclick: () => act("end") }, icon("stop"), h("span", {}, "End"));
  const line = h("p", { class: "hl-state", role: "status" });
  const notice = h("div", { class: "hl-notice", hidden: true, role: "alert", "data-kind": "error" }, h("p"));
  const picture = h("img", { class: "hl-lab-picture", alt: "The newest frame that all have seen", hidden: true });
  const progress = h("div", { class: "hl-progress", "aria-hidden": "true" }, h("i"));
  const grid = h("ul", { class: "hl-lab-lanes", "aria-label": "Memories side by side" });
  const chips = h("div", { class: "hl-chips", role: "group", "aria-label": "Questions that suit this clip" });
  const input = h("input", { type: "text", maxlength: "500", placeholder: "One question to all …", "aria-label": "Question to all memories" });
  const go = h("button", { type: "submit", class: "hl-button" }, "Ask all");
  const form = h("form", { class: "hl-lab-ask" }, input, go);
  const table = h("table", { class: "hl-lab-table" });
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const legend = h("p", { class: "hl-caption", hidden: true }, "Left to right: the clip. Each row is a layer, shallow layers on top; coloured where it still holds tokens of that moment, grey where it has let go. Pink below: where the last answer looked. The dark line: where the evidence lies.");
  const root = h("details", { class: "hl-lab-box", "data-view": "lab" },
    h("summary", {}, h("h2", {}, "The lab"), h("span", {}, "Two to four memories on the same frames, one question to all")),
    h("div", { class: "hl-lab-body" },
      h("p", { class: "hl-caption" }, "Every memory sees the same frames at the same moments, on the same model and with the same budget. A question waits until all have seen the same."),
      h("div", { class: "hl-lab-picks" }, picks.map(([label]) => label), clipLabel, budgetLabel, speedLabel),
      h("div", { class: "hl-lab-run" }, main, end, picture, line), progress, notice, grid, legend,
      h("div", { class: "hl-lab-talk", hidden: true }, chips, form), h("div", { class: "hl-lab-scroll" }, table), spoken));
  const talk = root.querySelector(".hl-lab-talk");
  element.replaceChildren(h("section", { class: "hl-lab", "aria-label": "The lab" }, root));

  function press() {
    const { action } = mainAction(state.state);
    if (action !== "start") return act(action);
    const names = chosen(picks.map(([, node]) => node.value));
    if (names.length < 2) return say("Choose at least two different memories.");
    notice.hidden = true;
    shown = -1;
    setText(line, "Starting …");
    return act("start", { clip: clip.value, budget: Number(budget.value), speed: Number(speed.value), policies: names });
  }

  function say(text) {
    notice.hidden = false;
    setText(notice.firstChild, text);
  }

  function ask(question) {
    if (!question.trim()) return input.focus();
    notice.hidden = true;
    input.value = "";
    return act("ask", { question });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(input.value);
  });
  root.addEventListener("toggle", () => root.open && pulse.now());
  new ResizeObserver(() => paint()).observe(grid);

  function showChips() {
    const questions = clips.find((one) => one.id === clip.value)?.questions ?? [];
    const texts = [...new Set(questions)].slice(0, 6);
    chips.replaceChildren(...texts.map((text) => h("button", { type: "button", class: "hl-chip", onclick: () => ask(text) }, text)));
  }
  clip.addEventListener("change", showChips);
  showChips();

  function lane(index) {
    const node = {
      title: h("h3"), badge: h("span", { class: "hl-badge" }), canvas: h("canvas", { role: "img" }), list: h("dl"),
      answer: h("p", { class: "hl-lab-answer" }), verdict: h("p", { class: "hl-lab-verdict" }), index,
    };
    node.root = h("li", {}, h("header", {}, node.title, node.badge), node.canvas,
      h("p", { class: "hl-lab-axis" }, h("span", {}, "start of the clip"), h("span", {}, "end")), node.answer, node.verdict, node.list);
    return node;
  }

  function drawLane(node, one) {
    setText(node.title, one.title);
    setText(node.badge, one.badge);
    node.root.dataset.state = one.state;
    if (one.held) node.canvas.setAttribute("aria-label", `${one.title} holds ${percent(heldShare(fromBase64(one.held)))} of all tokens seen so far; one row a layer, shallow layers on top.`);
    const verdict = one.verdict;
    const mark = !verdict || verdict.right === null ? "" : verdict.right ? "✓ " : "✗ ";
    node.answer.dataset.right = verdict?.right === null || verdict?.right === undefined ? "" : String(verdict.right);
    const words = { waiting: "waits for its turn …", writing: one.answer || "…", done: one.answer || "(no answer)", refused: one.answer, failed: one.error, idle: "not asked yet" };
    setText(node.answer, `${one.state === "done" ? mark : ""}${words[one.state] ?? ""}`);
    setText(node.verdict, one.state === "done" ? verdict?.sentence ?? "" : "");
    const rows = figures(one);
    if (node.list.childElementCount !== rows.length) {
      node.list.replaceChildren(...rows.map(([name, , about]) => h("div", { title: about }, h("dt", {}, name), h("dd"))));
    }
    rows.forEach(([, value], i) => setText(node.list.children[i].lastChild, value));
  }

  function paint() {
    if (!root.open) return;
    const palette = readPalette(root);
    state.lanes.forEach((one, i) => {
      if (!lanes[i]) return;
      drawHeld(lanes[i].canvas, one, i, state.columns, palette);
      markEvidence(lanes[i].canvas, one, state.duration, palette);
    });
  }

  function drawTable() {
    const marks = { true: "✓ ", false: "✗ ", null: "" };
    table.hidden = !state.asked.length;
    if (table.hidden) return;
    const key = JSON.stringify(state.asked);
    if (table.dataset.key === key) return;
    table.dataset.key = key;
    const points = score(state.asked, state.lanes.length);
    table.replaceChildren(
      h("caption", {}, "All questions of this run"),
      h("thead", {}, h("tr", {}, ["at", "question", "truth", ...state.lanes.map((one) => one.title)].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, state.asked.map((one) => h("tr", {}, h("td", {}, clock(one.at)), h("td", {}, one.question), h("td", {}, one.truth ?? "not known"),
        one.replies.map((reply) => h("td", { "data-right": String(reply?.right ?? "") }, reply ? `${marks[reply.right]}${reply.said}` : "–"))))),
      h("tfoot", {}, h("tr", {}, h("td"), h("td", {}, "right"), h("td"), points.map(({ right, of }) => h("td", {}, of ? `${right} of ${of}` : "–")))));
    const last = state.asked.at(-1);
    setText(spoken, state.lanes.map((one, i) => `${one.title}: ${last.replies[i]?.said ?? "no answer"}`).join(". "));
  }

  function receive(next) {
    pulse.heard({ state: next.state === "starting" ? "playing" : next.state, answering: next.answering });
    state = next;
    const wanted = mainAction(state.state);
    main.replaceChildren(icon(wanted.icon), h("span", {}, wanted.label));
    main.disabled = state.state === "starting";
    end.disabled = !state.lanes.length;
    const when = state.clock === null || state.clock === undefined ? "" : ` · ${clock(state.clock)} of ${clock(state.duration)}, ${whole(state.frames)} frames`;
    const words = { empty: "", starting: "Starting …", playing: "All see the same frames", paused: "Paused", ended: "The clip is over; go on asking", failed: state.error ?? "Stopped by a problem" };
    setText(line, `${words[state.state] ?? ""}${when}`);
    progress.firstChild.style.width = state.duration ? `${Math.min(100, (100 * (state.clock ?? 0)) / state.duration)}%` : "0";
    if (state.notice && state.notice.id !== noticeId) {
      noticeId = state.notice.id;
      say(state.notice.text);
    }
    if (state.frame) {
      shown = state.frame.index;
      picture.src = `data:image/jpeg;base64,${state.frame.jpeg}`;
    }
    picture.hidden = !state.lanes.length || shown < 0;
    talk.hidden = !state.lanes.length;
    legend.hidden = !state.lanes.length;
    go.disabled = state.answering;
    if (lanes.length !== state.lanes.length) {
      lanes = state.lanes.map((_, i) => lane(i));
      grid.replaceChildren(...lanes.map((node) => node.root));
    }
    state.lanes.forEach((one, i) => drawLane(lanes[i], one));
    drawTable();
    paint();
  }

  pulse.start();
  return { receive };
}
