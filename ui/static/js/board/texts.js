// Texts of the board: meters, legends, the sentence below the heatmap, and the last answer.
import { TIERS, layerNumber } from "./codec.js";
import { TIER_WORDS, describeBoard, describeReading, frameTime } from "./descriptions.js";
import { MODES, describeLeftOut, describeStart } from "./layers.js";
import { describeWindow } from "./zoom.js";
import { h, setText } from "../shared/dom.js";
import { bytes, clock, percent, shortNumber, whole } from "../shared/format.js";

/** Make the texts of a board. Returns {updateText(), showAnswer(), showNote(), updateLegends()}. */
export function makeTexts(view, ui, { bus, answers, requests }) {
  let shownAnswer = null;

  function updateText() {
    const { state } = view;
    if (!state.meta) return;
    setText(ui.caption, describeBoard(state));
    ui.caption.title = ui.caption.textContent; // narrow boards cut it off
    setText(ui.zoom.description, describeWindow(view.window, state.film?.size ?? 1));
    const m = state.meters;
    if (m) {
      ui.meter("tokens", `${whole(m.kept)} / ${whole(m.seen)}`, "tokens kept of those seen, per layer");
      ui.meter("cache", bytes(m.cache), `a full cache would take ${bytes(m.full)}`);
      ui.meter("ingest", m.fps > 0 ? `${shortNumber(m.fps)} fps` : "–", "frames that the model processes per second");
      ui.meter("first", m.first === null ? "–" : `${whole(m.first)} ms`, m.first === null ? "ask a question to measure" : "from the last question to the first token of its answer");
      ui.meter("dropped", whole(m.dropped), m.skipped ? `camera frames missed, and ${whole(m.skipped)} frames unreadable` : "camera frames missed");
    }
    const leftOut = describeLeftOut(state);
    setText(ui.retention.leftOut.text, leftOut);
    ui.retention.leftOut.why.hidden = !leftOut;
    showNote();
    showAnswer();
  }

  /** Show the last answer and its verdict, or none. */
  function showAnswer() {
    const { state } = view;
    setText(ui.answer.text, state.answer ? describeReading(state) : "");
    if (shownAnswer === state.answer) return;
    shownAnswer = state.answer;
    view.earlier = state.answer !== answers.newest();
    ui.answer.asked.replaceChildren(...(state.answer ? [`${state.answer.question} `, h("strong", {}, state.answer.answer)] : []));
    ui.answer.peaks.replaceChildren(...(state.answer?.peaks ?? []).map(peak));
    ui.evidence.show(state.answer);
    requests.answerChanged();
  }

  /** Update the sentence below the heatmap: what the colours mean, or that the start of the stream is kept, which the glossary explains. */
  function showNote() {
    const { start, meta } = view.state;
    const kept = view.mode === "kept" && !view.word ? describeStart(view.state) : "";
    const word = view.word && (view.word.heads > 1 ? "Attention while this word was written, one line per head." : "Mean attention over heads while this word was written.");
    const none = view.mode === "answer" && !view.state.answer ? "No answer yet. Ask a question to see what it attends to." : "";
    setText(ui.layers.note.text, word || kept || none || MODES[view.mode].note);
    ui.layers.note.text.title = kept && start.ratio ? `A token there gets up to ${start.ratio}× the guidance attention of another token (layer ${layerNumber(meta, start.ratio_layer)}).` : "";
    ui.layers.note.why.hidden = !kept;
  }

  /** A button for one of the most attended frames; it seeks to the frame. */
  function peak({ frame, share, jpeg }) {
    const seconds = frameTime(view.state, frame);
    const name = `Frame at ${clock(seconds, true)}`;
    return h("li", {}, h("button", { type: "button", title: "Show it on the board", onclick: () => bus.publish("goto", seconds) },
      jpeg ? h("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: name }) : h("span", { class: "hl-clip-blank" }),
      h("strong", {}, percent(share)), h("span", {}, clock(seconds, true))));
  }

  /** Update legend, scale and lists of layers, which depend on tiers, layers and mode only. */
  function updateLegends() {
    const { meta } = view.state;
    if (!meta) return;
    ui.legend.replaceChildren(...meta.groups.map((tier) => h("li", {}, h("span", { class: `hl-swatch hl-swatch-${tier}` }),
      h("span", {}, h("strong", {}, TIERS[tier][0].toUpperCase() + TIERS[tier].slice(1)), h("small", {}, ` ${TIER_WORDS[tier]}`)))));
    const mode = view.word ? "answer" : view.mode;
    const ends = view.word ? ["0", "max"] : MODES[mode].ends(meta);
    const unit = view.word ? `share of the attention while “${view.word.text}” was written, one line per head` : MODES[mode].unit;
    ui.layers.scale.title = unit;
    ui.layers.scale.replaceChildren(ends[0], h("span", { class: `hl-ramp hl-ramp-${mode}` }), ends[1],
      h("span", { class: "hl-unit" }, unit));
    ui.layers.panel.layer.replaceChildren(...[...Array(meta.layers).keys()].map((layer) => h("option", { value: layer },
      `Layer ${layerNumber(meta, layer)}${meta.tiered ? ` · ${TIERS[meta.tiers[layer]]}` : ""}`)));
    if (view.selected) ui.layers.panel.layer.value = String(view.selected.layer);
    requests.fillRows();
    ui.retention.fade.forEach(({ node, table, tools }, tier) => {
      node.hidden = !meta.groups.includes(tier);
      if (node.hidden && !table.hidden) tools.table.click();
    });
    for (const part of [ui.root, ui.memory]) part.classList.toggle("is-untiered", !meta.tiered);
  }

  return { updateText, showAnswer, showNote, updateLegends };
}
