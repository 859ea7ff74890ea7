// Details that the board requests on demand: the patches and the token history of the opened frame, and the attention heads of
// one layer for the last answer.
import { historyHint } from "./default_frame.js";
import { makeDetails } from "./details.js";
import { clock, count } from "../shared/format.js";
import { h, setText } from "../shared/dom.js";
import { describeHistory, describeMerges, readHistory } from "./token_history.js";
import { heldPatches, readFrame } from "./patches.js";
import { layerNumber, secondsOf } from "./codec.js";

/** Least time between two requests for the opened frame while the stream runs. */
export const REFRESH_MS = 1000;
/** Most words whose attention the browser keeps. */
const MAX_WORDS = 100;

/** Connect the panel of the opened frame, its token history and the heads. `send(request)` sends a request to the server. */
export function makeRequests(view, ui, { send, repaint, announce }) {
  const { panel } = ui.layers;
  const details = makeDetails(send);
  let requestedAt = 0;
  let layerOfHeads = null;

  async function ask(request) {
    const reply = await details.ask(request);
    if (reply?.error) setText(panel.text, reply.error);
    return reply?.error ? null : reply;
  }

  async function fetchFrame() {
    const { frame } = view.selected;
    requestedAt = Date.now();
    const reply = await ask({ kind: "frame", frame });
    if (!reply || view.selected?.frame !== reply.frame) return;
    const same = view.frame?.frame === reply.frame && view.frame.jpeg === reply.jpeg;
    view.frame = readFrame(reply);
    if (!same) await loadPicture(reply);
    if (view.selected?.frame !== reply.frame) return; // it was closed meanwhile
    updatePanel();
    repaint(["picture", "minis"]);
  }

  function loadPicture(reply) {
    view.frameImage = null;
    if (!reply.jpeg) return null;
    const image = new Image();
    return /** @type {Promise<void>} */ (new Promise((done) => {
      image.onload = () => {
        if (view.frame?.frame === reply.frame) view.frameImage = image;
        done();
      };
      image.onerror = () => done();
      image.src = `data:image/jpeg;base64,${reply.jpeg}`;
    }));
  }

  async function fetchHistory() {
    const { frame, layer } = view.selected;
    const reply = await ask({ kind: "life", frame, layer });
    if (!reply || view.selected?.frame !== reply.frame) return;
    view.tokenHistory = readHistory(reply);
    ui.history.summary.replaceChildren(...describeHistory(view.state, view.tokenHistory).map((line) => h("li", {}, line)));
    const merges = describeMerges(view.tokenHistory, view.state.meta);
    const rest = view.tokenHistory.merges.length - merges.length;
    ui.history.merges.replaceChildren(...merges.map((line) => h("li", {}, line)), ...(rest > 0 ? [h("li", {}, `… and ${count(rest, "more merge")}.`)] : []));
    repaint(["life"]);
  }

  function updateHint() {
    const hint = historyHint(view.selected);
    setText(ui.history.empty, hint);
    ui.history.empty.hidden = !hint;
  }

  function updatePanel() {
    const { frame, selected, state } = view;
    const tier = panel.layer.selectedOptions[0]?.textContent ?? "";
    setText(panel.heading, `Frame ${selected.frame + 1}, seen at ${clock(frame?.seconds ?? secondsOf(state, selected.frame), true)}`);
    if (!frame) return;
    const held = heldPatches(frame, selected.layer);
    const where = frame.evictions ? `through ${count(frame.evictions, "eviction")}` : "with no evictions since";
    setText(panel.text, `${tier} holds ${held} of ${count(frame.patches, "patch").replace(/patchs$/, "patches")} ${where}.${frame.jpeg ? "" : " Its picture is no longer available."}`);
  }

  async function fetchHeads() {
    ui.answer.rows.disabled = view.earlier; // the server has the heads of the newest answer only
    if (layerOfHeads === null || !view.state.answer || view.earlier) {
      view.heads = null;
      repaint(["reading"]);
      return;
    }
    const wanted = layerOfHeads;
    const reply = await ask({ kind: "heads", layer: wanted });
    if (!reply || layerOfHeads !== wanted) return;
    view.heads = reply;
    repaint(["reading"]);
  }

  ui.answer.rows.addEventListener("change", () => {
    layerOfHeads = ui.answer.rows.value === "" ? null : Number(ui.answer.rows.value);
    fetchHeads();
  });

  updateHint();

  const words = new Map(); // replies for the words of answers

  /** The attention of a word, {turn, first, stop}: the server's reply, with `error` if it has none; null if there was no reply. */
  async function word(request) {
    const key = JSON.stringify(request);
    if (words.has(key)) return words.get(key);
    const reply = await details.ask({ kind: "word", ...request });
    if (reply && !reply.error) {
      if (words.size >= MAX_WORDS) words.clear();
      words.set(key, reply);
    }
    return reply;
  }

  return {
    ask: details.ask,
    word,
    forgetWords: () => words.clear(),
    receive: details.receive,
    /** Called when a frame was opened or another layer selected. */
    opened() {
      const { selected } = view;
      const known = view.frame?.frame === selected.frame;
      if (!known) {
        view.frame = null;
        view.frameImage = null;
        view.tokenHistory = null;
      }
      panel.node.hidden = false;
      updateHint();
      panel.layer.value = String(selected.layer);
      panel.before.disabled = selected.frame <= 0;
      panel.after.disabled = selected.frame >= view.state.frames - 1;
      updatePanel();
      announce(`Frame ${selected.frame + 1} opened, layer ${layerNumber(view.state.meta, selected.layer)}.`);
      fetchFrame();
      fetchHistory();
      repaint(["picture", "minis", "life"]);
    },
    closed() {
      view.selected = view.frame = view.frameImage = view.tokenHistory = view.heads = null;
      panel.node.hidden = true;
      updateHint();
      ui.history.summary.replaceChildren();
      ui.history.merges.replaceChildren();
    },
    /** Select a patch of the opened frame, which highlights its scores in the token history. */
    pickPatch(patch) {
      view.selected.patch = view.selected.patch === patch ? null : patch;
      repaint(["picture", "life"]);
    },
    /** Called when the memory changed: refresh the opened frame, at most once per `REFRESH_MS`. */
    memoryChanged() {
      if (!view.selected || Date.now() - requestedAt < REFRESH_MS) return;
      panel.after.disabled = view.selected.frame >= view.state.frames - 1;
      fetchFrame();
      fetchHistory();
    },
    answerChanged: fetchHeads,
    /** Fill the list that selects all layers or the heads of one layer. */
    fillRows() {
      const { layers } = view.state.meta;
      const options = [h("option", { value: "" }, "all layers"), ...[...Array(layers).keys()].map((layer) =>
        h("option", { value: layer }, `heads of layer ${layerNumber(view.state.meta, layer)}`))];
      ui.answer.rows.replaceChildren(...options);
      ui.answer.rows.value = layerOfHeads === null ? "" : String(layerOfHeads);
    },
  };
}
