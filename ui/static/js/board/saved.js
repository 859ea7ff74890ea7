// A board in a saved page: one moment, no server. What the live page asks its server for lies in the file.
import { mountBoard } from "./board.js";
import { makeBus } from "../shared/dom.js";

/** The stored reply to a request; an error, as a sentence, for what is not in the file. */
export function answerFrom(details, request) {
  const found = details.find((reply) => reply.kind === request.kind && (request.frame === undefined || reply.frame === request.frame)
    && (request.layer === undefined || reply.layer === request.layer));
  if (found) return { ...found, id: request.id };
  const frames = details.filter((reply) => reply.kind === "frame").length;
  const what = request.kind === "page" ? "This is already a saved page." : `This saved page holds the patches of ${frames} frames and the lives of a few; this one is not among them.`;
  return { id: request.id, kind: request.kind, error: what };
}

/** Show a saved moment {message, scores, details} in `element`. */
export function openSaved(element, { message, scores, details }) {
  element.classList.add("hl-board-mount");
  const bus = makeBus();
  const board = mountBoard(element, bus, (request) => queueMicrotask(() => board.detail(answerFrom(details, request))));
  board.receive(message);
  let mode = "kept";
  bus.on("wanted", () => {
    const wanted = board.wanted().mode;
    if (wanted === mode) return;
    mode = wanted;
    const seq = board.acknowledged();
    if (scores[mode]) board.receive({ seq: seq + 1, base: seq, scores: scores[mode] });
  });
  return board;
}
