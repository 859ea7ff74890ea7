// The table of all questions of a comparison, with the answer of each method.
import { MARKS } from "./cards.js";
import { h, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

/** Correct answers of each method: [{right, of}]. Pure. */
export function score(asked, methods) {
  return Array.from({ length: methods }, (_, i) => {
    const known = asked.map((one) => one.replies[i]).filter((reply) => reply && reply.right !== null);
    return { right: known.filter((reply) => reply.right).length, of: known.length };
  });
}

/** The question that the cards answer, with the correct answer. `one`: {question, at, truth}; `question` may be null. */
export function questionLine({ question, at, truth }) {
  if (question === null) return h("p", { class: "hl-lab-question" }, "No question was asked yet.");
  return h("p", { class: "hl-lab-question" }, h("strong", {}, `${clock(at)} ${question}`), truth === null ? null : ` Correct answer: ${truth}`);
}

/** The question that the cards of a state answer, or are answering: {question, at, truth}. Pure. */
export function lastQuestion(state) {
  const last = state.asked.at(-1) ?? null;
  const open = state.answering ? state.lanes.find((lane) => lane.question)?.question : null;
  if (open) return { question: open, at: state.clock, truth: null };
  return { question: last?.question ?? null, at: last?.at ?? null, truth: last?.truth ?? null };
}

/** Build the table. Returns {parts, draw(state)}. */
export function makeQuestions() {
  const table = h("table", { class: "hl-lab-table" });
  const scroll = h("div", { class: "hl-lab-scroll", role: "group", tabindex: "0", "aria-label": "Table of all questions", hidden: true }, table);
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });

  return {
    parts: [scroll, spoken],
    draw(state) {
      scroll.hidden = !state.asked.length;
      const key = JSON.stringify([state.asked, state.lanes.map((lane) => [lane.title, lane.badge])]);
      if (table.dataset.key === key) return;
      table.dataset.key = key;
      if (scroll.hidden) return;
      const points = score(state.asked, state.lanes.length);
      table.replaceChildren(
        h("caption", {}, "All questions of this run"),
        h("thead", {}, h("tr", {}, ["at", "question", "correct answer"].map((name) => h("th", { scope: "col" }, name)),
          state.lanes.map((lane) => h("th", { scope: "col" }, lane.title)))),
        h("tbody", {}, state.asked.map((one) => h("tr", {}, h("td", {}, clock(one.at)), h("td", {}, one.question), h("td", {}, one.truth ?? "unknown"),
          one.replies.map((reply) => h("td", { "data-right": String(reply?.right ?? "") }, reply ? `${MARKS[reply.right]}${reply.answer}` : "–"))))),
        h("tfoot", {}, h("tr", {}, h("td"), h("td", {}, "correct"), h("td"), points.map(({ right, of }) => h("td", {}, of ? `${right} of ${of}` : "–")))));
      const last = state.asked.at(-1);
      setText(spoken, state.lanes.map((lane, i) => `${lane.title}: ${last.replies[i]?.answer ?? "no answer"}`).join(". "));
    },
  };
}
