// What the board asks for on demand: the opened frame's patches, its life, and the heads of one layer of the last answer.
import { makeDetails } from "./details.js";
import { clock, count } from "../shared/format.js";
import { h, setText } from "../shared/dom.js";
import { readLife, tellFolds, tellLife } from "./token_history.js";
import { heldPatches, readFrame } from "./patches.js";
import { secondsOf } from "./codec.js";

/** An open frame follows the stream, but not more often than this. */
export const FRESH_MS = 1000;

/** Wire the panel of one frame, its life and the heads. `send(request)` carries a request away. */
export function makeAsking(view, ui, { send, repaint, say }) {
  const { panel } = ui.layers;
  const details = makeDetails(send);
  let askedAt = 0;
  let layerOfHeads = null;

  async function ask(request) {
    const reply = await details.ask(request);
    if (reply?.error) setText(panel.text, reply.error);
    return reply?.error ? null : reply;
  }

  async function fetchFrame() {
    const { frame } = view.selected;
    askedAt = Date.now();
    const reply = await ask({ kind: "frame", frame });
    if (!reply || view.selected?.frame !== reply.frame) return;
    const same = view.frame?.frame === reply.frame && view.frame.jpeg === reply.jpeg;
    view.frame = readFrame(reply);
    if (!same) await loadPicture(reply);
    tellPanel();
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

  async function fetchLife() {
    const { frame, layer } = view.selected;
    const reply = await ask({ kind: "life", frame, layer });
    if (!reply || view.selected?.frame !== reply.frame) return;
    view.life = readLife(reply);
    ui.life.told.replaceChildren(...tellLife(view.state, view.life).map((line) => h("li", {}, line)));
    const folds = tellFolds(view.life);
    const rest = view.life.folds.length - folds.length;
    ui.life.folds.replaceChildren(...folds.map((line) => h("li", {}, line)), ...(rest > 0 ? [h("li", {}, `… and ${count(rest, "more fold")}.`)] : []));
    repaint(["life"]);
  }

  function tellPanel() {
    const { frame, selected, state } = view;
    const tier = panel.layer.selectedOptions[0]?.textContent ?? "";
    setText(panel.heading, `Frame ${selected.frame + 1}, seen at ${clock(frame?.seconds ?? secondsOf(state, selected.frame), true)}`);
    if (!frame) return;
    const held = heldPatches(frame, selected.layer);
    const where = frame.evictions ? `through ${count(frame.evictions, "eviction")}` : "and nothing was evicted since";
    setText(panel.text, `${tier} holds ${held} of ${count(frame.patches, "patch").replace(/patchs$/, "patches")} ${where}.${frame.jpeg ? "" : " Its picture is not kept any more."}`);
  }

  async function fetchHeads() {
    if (layerOfHeads === null || !view.state.answer) {
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

  return {
    ask: details.ask,
    receive: details.receive,
    /** A frame was opened, or another layer of it chosen. */
    opened() {
      const { selected } = view;
      const known = view.frame?.frame === selected.frame;
      if (!known) {
        view.frame = null;
        view.frameImage = null;
        view.life = null;
      }
      panel.node.hidden = false;
      ui.life.empty.hidden = true;
      panel.layer.value = String(selected.layer);
      panel.before.disabled = selected.frame <= 0;
      panel.after.disabled = selected.frame >= view.state.frames - 1;
      tellPanel();
      say(`Frame ${selected.frame + 1} opened, layer ${selected.layer + 1}.`);
      fetchFrame();
      fetchLife();
      repaint(["picture", "minis", "life"]);
    },
    closed() {
      view.selected = view.frame = view.frameImage = view.life = view.heads = null;
      panel.node.hidden = true;
      ui.life.empty.hidden = false;
      ui.life.told.replaceChildren();
      ui.life.folds.replaceChildren();
    },
    /** Choose one patch of the open frame: its line is drawn in its life. */
    pickPatch(patch) {
      view.selected.patch = view.selected.patch === patch ? null : patch;
      repaint(["picture", "life"]);
    },
    /** The memory changed: an open frame is asked for again, once a second at most. */
    memoryMoved() {
      if (!view.selected || Date.now() - askedAt < FRESH_MS) return;
      panel.after.disabled = view.selected.frame >= view.state.frames - 1;
      fetchFrame();
      fetchLife();
    },
    answerChanged: fetchHeads,
    /** The list from which layers, or the heads of one of them, are chosen. */
    fillRows() {
      const { layers } = view.state.meta;
      const options = [h("option", { value: "" }, "all layers"), ...[...Array(layers).keys()].map((layer) =>
        h("option", { value: layer }, `heads of layer ${layer + 1}`))];
      ui.answer.rows.replaceChildren(...options);
      ui.answer.rows.value = layerOfHeads === null ? "" : String(layerOfHeads);
    },
  };
}
