// The answers of the current stream, so that the board can show again what an earlier one attended to. Pure apart from the list.

const MOST = 50;

/** The answer of a turn: the one with the same question and text whose time is nearest; undefined if there is none. Pure. */
export function answerOf(answers, { question, answer, at }) {
  const same = answers.filter((one) => one.question.trim() === question.trim() && one.answer.trim() === answer.trim());
  const distance = (one) => Math.abs((one.seconds ?? 0) - (at ?? 0));
  return same.sort((a, b) => distance(a) - distance(b))[0];
}

/**
 * Keep the answers. `note(answer, bin)` adds the newest one; `pin(turn, bin)` selects that of a turn and returns whether there is one;
 * `shown()` is the selected answer, else the newest one. An answer whose frames per column (`bin`) differ from the board's is dropped.
 */
export function makeAnswers() {
  let known = [];
  let newest = null;
  let pinned = null;
  return {
    note(answer, bin) {
      newest = answer;
      pinned = null;
      if (answer) known = [...known, { answer, bin }].slice(-MOST);
    },
    pin(turn, bin) {
      pinned = answerOf(known.filter((one) => one.bin === bin).map(({ answer }) => answer), turn) ?? null;
      return pinned !== null;
    },
    newest: () => newest,
    shown(bin) {
      if (pinned && !known.some((one) => one.answer === pinned && one.bin === bin)) pinned = null;
      return pinned ?? newest;
    },
    clear() {
      known = [];
      newest = pinned = null;
    },
  };
}
