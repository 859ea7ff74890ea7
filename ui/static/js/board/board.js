// The memory board: keeps the state, lays out the figures and redraws them when something changed. A figure is {ui, layout,
// height, draw, mark?, hit?, note?, click?, table?, ready?}. `draw` paints the figure; `mark` paints cursor and selection on an
// overlay canvas, so that hovering does not repaint the figure.
import { apply, axisFrames, emptyState, seenColumns } from "./codec.js";
import { makeAnswers } from "./answers.js";
import { defaultFrame } from "./default_frame.js";
import { buildBoard } from "./elements.js";
import { makeRequests } from "./requests.js";
import { connectExports } from "./exports.js";
import { boardFigures } from "./figures.js";
import { connectInput } from "./interaction.js";
import { radioKeys, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";
import { MODES } from "./layers.js";
import { hasLargePictures, picturesThatFit } from "./film.js";
import { readWord } from "../chat/word_attention.js";
import { readPalette } from "../shared/palette.js";
import { nearestColumn } from "./scales.js";
import { connectTables } from "../shared/tables.js";
import { frameTime } from "./descriptions.js";
import { makePainter, pairScreen, tallScreen } from "./painter.js";
import { makeTexts } from "./texts.js";
import { describeWindow, fitWindow, grownAxis, panBy, reveal, wholeWindow, zoomAt } from "./zoom.js";

/** Parts of a message that require a repaint. */
const DRAWN = ["meta", "columns", "held", "history", "events", "answer", "thumbs", "scores", "film", "marks"];
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Build the board: the memory's figures for the first screen in `beside`, their details in `element`. `send(request)` requests
 * details. `served`: whether a server answers other requests. Returns {receive, acknowledged, wanted, detail, show, layer}.
 */
export function mountBoard(element, beside, bus, send, served = true) {
  let mounted = false;
  const ui = buildBoard(bus, () => mounted && repaint(), served);
  element.replaceChildren(ui.root);
  beside.replaceChildren(ui.memory);
  const view = {
    state: emptyState(), palette: readPalette(ui.memory), ratio: 1, window: wholeWindow(1), mode: "kept", cursor: null, selected: null,
    frame: null, frameImage: null, tokenHistory: null, heads: null, hoverPatch: null, hoverMoment: null, word: null, images, earlier: false,
    tall: tallScreen().matches, pair: pairScreen().matches,
  };
  const pictures = new Map();
  const answers = makeAnswers();
  let pendingRequest = null; // a view requested before the first frame

  function images(frame) {
    if (!pictures.has(frame)) {
      const image = new Image();
      pictures.set(frame, image);
      image.onload = () => repaint();
      image.src = `data:image/jpeg;base64,${view.state.thumbs.get(frame)}`;
    }
    const image = pictures.get(frame);
    return image.complete && image.naturalWidth ? image : null;
  }

  const { repaint, schedule, paint, watch } = makePainter(view, ui);
  const requests = makeRequests(view, ui, { send, repaint, announce: (text) => setText(ui.live, text) });
  const { updateText, showAnswer, showNote, updateLegends } = makeTexts(view, ui, { bus, answers, requests });
  const figures = boardFigures(view, ui, { open, pickLayer, pickPatch: requests.pickPatch });

  // Words of an answer ---------------------------------------------------------------------------------------------

  let wantedWord = null;

  /** Show what the model attended to while it wrote a word, {turn, first, stop, text}; null shows the whole answer again. */
  async function showWord(request) {
    wantedWord = request;
    if (!request || !view.state.meta) return drawWord(null);
    const { text, ...tokens } = request;
    const reply = await requests.word({ ...tokens, bin: view.state.meta.bin });
    if (wantedWord !== request || !reply) return undefined;
    if (reply.error) bus.publish("word-error", reply.error);
    return drawWord(reply.error ? null : readWord(reply, text));
  }

  function drawWord(word) {
    if (view.word === word) return;
    view.word = word;
    updateLegends();
    showNote();
    ui.layers.word.hidden = !word;
    if (word) {
      setText(ui.layers.word, `While “${word.text}” was written`);
      setText(ui.live, `${word.text}: most attention at ${word.peaks.map((c) => clock(view.state.times[c], true)).join(", ") || "no frame"}.`);
    }
    repaint(["film", "layers", "timeline", "reading"]);
  }

  bus.on("word", showWord);

  // Cursor, selection, zoom ----------------------------------------------------------------------------------------

  /** Move the cursor, and tell the player and the chat its moment. */
  function point(next) {
    const moved = next?.frame !== view.cursor?.frame;
    view.cursor = next;
    if (moved) bus.publish("cursor", next ? frameTime(view.state, next.frame) : null);
    schedule();
  }

  /** Move the cursor to a moment that another part of the page points at; null removes it. */
  function pointAt(seconds) {
    const column = Number.isFinite(seconds) ? nearestColumn(view.state.times, seenColumns(view.state), seconds) : -1;
    view.cursor = column < 0 ? null : { frame: column * view.state.meta.bin, column, layer: null };
    schedule();
  }

  let closedFrame = false; // the visitor closed the opened frame: none is opened until the tab is selected again

  /** Open a frame as a layer holds it. `why`: the reason if the visitor did not choose it. */
  function open(frame, layer, patch = null, why = "") {
    const { state } = view;
    if (!state.frames) return;
    view.selected = {
      frame: Math.max(0, Math.min(state.frames - 1, frame)), patch, why,
      layer: Math.max(0, Math.min(state.meta.layers - 1, layer ?? view.selected?.layer ?? state.meta.layers - 1)),
    };
    requests.opened();
    repaint(["layers", "film"]);
    ui.tabs.select("history");
  }

  function pickLayer(layer) {
    if (view.selected) open(view.selected.frame, layer, view.selected.patch, view.selected.why);
  }

  /** Open a useful frame in the tab "Token history" unless the visitor has opened one. Saved pages contain only some frames. */
  function openDefault() {
    if (!served || bus.last("tab") !== "history" || closedFrame || (view.selected && !view.selected.why)) return;
    const found = defaultFrame(view.state);
    if (found && found.frame !== view.selected?.frame) open(found.frame, null, null, found.why);
  }

  bus.on("tab", () => {
    closedFrame = false;
    openDefault();
  });

  function setWindow(next) {
    view.window = next;
    setText(ui.zoom.description, describeWindow(next, view.state.film?.size ?? 1));
    repaint(["film", "layers", "timeline"]);
    reportWanted();
  }

  let wantedTimer = null;
  let reported = null; // what the server knows
  function reportWanted() { // report to the server what is shown, without waiting for the next update
    clearTimeout(wantedTimer);
    wantedTimer = setTimeout(() => bus.publish("wanted", null), 120);
  }

  /** What is shown now: the mode of the heatmap, and the window and number of pictures of the filmstrip. */
  function wantedNow() {
    const film = figures.find((figure) => figure.ui.name === "film");
    const covered = view.window.whole && (!view.state.meta || view.window.stop >= axisFrames(view.state.meta));
    const { first, stop } = covered ? { first: 0, stop: 0 } : view.window;
    const width = film.ui.box.clientWidth || ui.memory.clientWidth - 30; // it has no width before the first frame
    const span = view.state.meta ? view.window : { first: 0, stop: Infinity };
    return { mode: view.mode, first, stop, pictures: film.inView === false ? 0 : picturesThatFit(width, span, hasLargePictures(view)) };
  }

  function reportChange() {
    if (reported !== JSON.stringify(wantedNow())) reportWanted();
  }

  function setMode(mode) {
    if (!MODES[mode]) return;
    view.mode = mode;
    for (const button of ui.layers.modes) button.setAttribute("aria-checked", String(button.dataset.mode === mode));
    updateTabStops();
    updateLegends();
    showNote();
    repaint(["layers", "picture"]);
    reportWanted();
  }

  const axis = () => (view.state.meta ? grownAxis(view.state.frames, axisFrames(view.state.meta)) : 1);
  const zoomBy = (factor, frame = (view.window.first + view.window.stop) / 2) => setWindow(zoomAt(view.window, factor, frame, axis()));

  connectInput(figures, view, ui, { point, open, schedule, zoomBy, setWindow, axis });
  const updateTabStops = radioKeys(ui.layers.modeGroup);
  for (const button of ui.layers.modes) button.addEventListener("click", () => setMode(button.dataset.mode));
  ui.zoom.zoomIn.addEventListener("click", () => zoomBy(0.5, view.cursor?.frame ?? view.selected?.frame));
  ui.zoom.zoomOut.addEventListener("click", () => zoomBy(2));
  ui.zoom.fit.addEventListener("click", () => setWindow(wholeWindow(axis())));
  ui.zoom.earlier.addEventListener("click", () => setWindow(panBy(view.window, -0.5, axis())));
  ui.zoom.later.addEventListener("click", () => setWindow(panBy(view.window, 0.5, axis())));
  const { panel } = ui.layers;
  panel.layer.addEventListener("change", () => pickLayer(Number(panel.layer.value)));
  panel.before.addEventListener("click", () => open(view.selected.frame - 1));
  panel.after.addEventListener("click", () => open(view.selected.frame + 1));
  panel.close.addEventListener("click", () => {
    closedFrame = true;
    requests.closed();
    repaint();
    ui.layers.figure.input.focus({ preventScroll: true });
  });
  const tables = connectTables(figures, view);
  connectExports(figures, view, ui, requests.ask);

  // Interface to the page ------------------------------------------------------------------------------------------

  function scrollTo(name) {
    const tab = ui.tabs.tabOf(name);
    if (tab) ui.tabs.select(tab);
    const target = document.querySelector(`[data-view="${CSS.escape(name)}"]`);
    if (target instanceof HTMLDetailsElement) target.open = true;
    target?.scrollIntoView({ block: ui.memory.contains(target) ? "nearest" : "start", behavior: reducedMotion() ? "auto" : "smooth" });
  }

  /** Show a view, mode, layer, frame or moment. Before the first frame, the request is kept until then. */
  function show(request) {
    if (!view.state.frames) {
      pendingRequest = { ...pendingRequest, ...request };
      return;
    }
    const { state } = view;
    if (request.mode) setMode(request.mode);
    const column = Number.isFinite(request.seconds) ? nearestColumn(state.times, seenColumns(state), request.seconds) : -1;
    const frame = Number.isInteger(request.frame) ? request.frame : column >= 0 ? column * state.meta.bin : null;
    if (frame !== null || Number.isInteger(request.layer)) {
      open(frame ?? view.selected?.frame ?? state.frames - 1, request.layer ?? null);
      setWindow(reveal(view.window, view.selected.frame, axis()));
    }
    if (request.view) scrollTo(request.view);
  }

  bus.on("view", (message) => {
    if (!message.restarted) return;
    view.state = emptyState(); // the next message is a key frame
    answers.clear();
    point(null);
    requests.forgetWords();
    showWord(null);
    showAnswer();
    view.window = wholeWindow(1);
    closedFrame = false;
    requests.closed();
    setText(ui.caption, "No frames yet.");
    repaint();
  });
  bus.on("goto", (seconds) => {
    const { state } = view;
    const column = nearestColumn(state.times, seenColumns(state), seconds);
    if (column < 0) return;
    const frame = column * state.meta.bin;
    setWindow(reveal(view.window, frame, axis()));
    point({ frame, column, layer: null });
    ui.film.node.scrollIntoView({ block: "nearest", behavior: reducedMotion() ? "auto" : "smooth" });
  });
  bus.on("point", pointAt);
  bus.on("why", () => scrollTo("evidence"));
  bus.on("read", (turn) => { // show what an answer attended to, in the heatmap and in the tab "Why this answer"
    if (!view.state.meta) return;
    answers.pin(turn, view.state.meta.bin);
    view.state = { ...view.state, answer: answers.shown(view.state.meta.bin) };
    ui.tabs.select("why");
    setMode("answer");
    updateText();
    repaint();
  });
  watch(figures, reportChange);
  mounted = true;

  return {
    receive(message) {
      const next = apply({ ...view.state, answer: answers.newest() }, message);
      if (next && message.base === null) pictures.clear();
      const before = view.state.meta;
      view.state = next ?? { ...view.state, seq: null };
      if (next && (message.answer !== undefined || message.base === null)) answers.note(next.answer, next.meta.bin);
      if (next) next.answer = answers.shown(next.meta.bin);
      if (next?.meta && next.meta !== before) updateLegends();
      if (next && (next.meta !== before || view.window.whole)) view.window = fitWindow(view.window, axis());
      if (reported !== null) reportChange(); // the window has grown with the stream
      if (view.cursor && view.cursor.frame >= view.state.frames) view.cursor = null;
      if (view.word && view.word.bin !== view.state.meta?.bin) showWord(wantedWord);
      updateText();
      if (DRAWN.some((part) => message[part] !== undefined)) repaint();
      if (message.columns) requests.memoryChanged();
      if (!view.selected || message.answer !== undefined) openDefault();
      tables.refresh();
      if (pendingRequest && view.state.frames) {
        const request = pendingRequest;
        pendingRequest = null;
        paint(); // lay out the figures before scrolling to one
        show(request);
      }
    },
    acknowledged: () => view.state.seq,
    wanted() {
      const wanted = wantedNow();
      reported = JSON.stringify(wanted);
      return wanted;
    },
    detail: requests.receive,
    show,
    layer: () => (view.selected && !view.selected.why ? view.selected.layer : null),
  };
}
