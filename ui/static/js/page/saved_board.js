// The board in a saved page: one moment, without a server. The page contains the replies to the board's requests.
import { mountBoard } from "../board/board.js";
import { makeBus } from "../shared/dom.js";

/** Return the stored reply to a request, or an error message if the page does not contain it. */
export function answerFrom(details, request) {
  const found = details.find((reply) => reply.kind === request.kind && (request.frame === undefined || reply.frame === request.frame)
    && (request.layer === undefined || reply.layer === request.layer));
  if (found) return { ...found, id: request.id };
  const frames = details.filter((reply) => reply.kind === "frame").length;
  const error = request.kind === "page" ? "This is already a saved page." : `This saved page contains details of ${frames} frames; this frame is not one of them.`;
  return { id: request.id, kind: request.kind, error };
}

/** Show a saved moment, {message, scores, details}, in `element`. */
export function openSaved(element, { message, scores, details }) {
  element.classList.add("hl-board-mount");
  const bus = makeBus();
  const [beside, below] = [document.createElement("div"), document.createElement("div")];
  element.replaceChildren(beside, below);
  const board = mountBoard(below, beside, bus, (request) => queueMicrotask(() => board.detail(answerFrom(details, request))), false);
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
