// Turns of the chat: merging, dividers between streams, verdicts and suggested questions. Pure functions.
import { titleOf } from "../board/evidence.js";

/** Merge the turns of a message into the list; a new epoch resets it. */
export function mergeTurns(turns, epoch, message) {
  const list = message.epoch === epoch ? turns.slice() : [];
  for (const turn of message.turns) {
    const at = list.findIndex((known) => known.id === turn.id);
    if (at >= 0) list[at] = turn;
    else list.push(turn);
  }
  return list;
}

/**
 * Where dividers belong: turn id -> label of the stream that began after that turn. `labels`: [number, label] of the streams, `stream`:
 * the current one.
 */
export function dividers(turns, stream, labels) {
  const names = new Map(labels);
  const found = new Map();
  turns.forEach((turn, i) => {
    const next = turns[i + 1]?.stream ?? stream;
    if (turn.stream !== undefined && next !== turn.stream) found.set(turn.id, names.get(next) ?? "New stream");
  });
  return found;
}

/** Text of the link below a scored answer: whether it is right, and the verdict on its evidence if there is any. */
export function verdictText(verdict, known) {
  const outcome = verdict.outcome === "absent" ? "" : `${titleOf(verdict).toLowerCase()} ↓`;
  const first = known ? "Why" : verdict.right ? "✓ Right" : "✗ Wrong";
  return known && !outcome ? "" : [first, outcome].filter(Boolean).join(" · ");
}

/**
 * The turn of the board's last answer: the newest with the same question and answer. Undefined until that turn has arrived: a turn
 * that already belongs to another answer (`has(turn)` is its key, `key` the answer's) is older.
 */
export function turnOf(turns, answer, key, has) {
  const newest = turns.findLast((turn) => turn.question.trim() === answer.question && turn.state !== "writing"
    && turn.state !== "waiting" && turn.state !== "cancelled" && (turn.state === "stopped" || turn.answer.trim() === answer.answer.trim()));
  return newest && [undefined, key].includes(has(newest)) ? newest : undefined;
}

/** The suggested questions to show: the `past` newest ones that are due and the `ahead` next ones. */
export function pickChips(chips, seconds, past = 3, ahead = 1) {
  const due = (chip) => !(chip.at > 0) || (Number.isFinite(seconds) && seconds >= chip.at - 0.05);
  const ready = chips.filter(due);
  const later = chips.filter((chip) => !due(chip));
  const room = past + ahead;
  const next = later.slice(0, Math.max(ahead, room - ready.length));
  return [...ready.slice(-(room - next.length)), ...next].slice(-room).map((chip) => ({ ...chip, due: due(chip) }));
}
