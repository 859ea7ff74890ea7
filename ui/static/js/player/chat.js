// The conversation beside the stream: questions stamped with stream time, answers written as they are decoded.
import { h, icon, setText } from "../shared/dom.js";
import { titleOf } from "../board/evidence.js";
import { clock, whole } from "../shared/format.js";
import { makePlan } from "./plan.js";
import { before } from "../runs/replay.js";

/** After this long without a word from the server, a question counts as lost. */
const LOST_MS = 15_000;

/** Put the turns of a message into the list kept here; a new epoch starts afresh. Pure. */
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
 * The turn that the board's answer, which is the last one, belongs to: the newest with its question and its words. Undefined while
 * that turn is not there: one that has another answer (`has(turn)` is the key of what a turn has, `key` the answer's) is older. Pure.
 */
export function turnOf(turns, answer, key, has) {
  const newest = turns.findLast((turn) => turn.question.trim() === answer.question && turn.state !== "writing"
    && (turn.state === "stopped" || turn.answer.trim() === answer.answer.trim()));
  return newest && [undefined, key].includes(has(newest)) ? newest : undefined;
}

/** Which of the suggested questions to show: the `past` newest whose time has come and the `ahead` next ones. Pure. */
export function pickChips(chips, seconds, past = 3, ahead = 1) {
  const due = (chip) => !(chip.at > 0) || (Number.isFinite(seconds) && seconds >= chip.at - 0.05);
  const ready = chips.filter(due);
  const later = chips.filter((chip) => !due(chip));
  const room = past + ahead;
  const next = later.slice(0, Math.max(ahead, room - ready.length));
  return [...ready.slice(-(room - next.length)), ...next].slice(-room).map((chip) => ({ ...chip, due: due(chip) }));
}

/** Build the chat inside `element`; `send(type, data)` reaches the server. `planned`: questions are set before a run.
 * Returns {receive(message)}. */
export function mountChat(element, bus, send, planned = false) {
  const model = h("p", { class: "hl-about-model" }, "Loading the model …");
  const policy = h("p", { class: "hl-about-policy" });
  const log = h("ol", { class: "hl-log", "aria-label": "Questions and answers", tabindex: "0" });
  const invitation = h("p", {}, planned ? "Choose a clip and its questions, then press Run." : "Ask about anything the stream has shown, while it runs.");
  const words = invitation.textContent;
  const empty = h("div", { class: "hl-log-empty" }, invitation,
    h("p", {}, "The answer comes from memory alone: the model does not look at the video again."));
  const chips = h("div", { class: "hl-chips", role: "group", "aria-label": "Suggested questions" });
  const input = h("textarea", { rows: "1", placeholder: "Ask about the stream …", "aria-label": "Your question", enterkeyhint: "send" });
  const go = h("button", { type: "submit", class: "hl-round", "aria-label": "Ask", title: "Ask (Enter)" }, icon("send"));
  const halt = h("button", { type: "button", class: "hl-round", "aria-label": "Stop the answer", title: "Stop the answer", hidden: true }, icon("stop"));
  const hint = h("p", { class: "hl-hint", role: "status" });
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const form = h("form", { class: "hl-ask" }, input, go, halt);
  element.replaceChildren(h("section", { class: "hl-chat", "aria-label": "Chat with the stream" },
    h("header", { class: "hl-about" }, model, policy),
    h("div", { class: "hl-log-wrap" }, empty, log), ...(planned ? [plan().root] : [chips, form, hint]), spoken));

  let turns = [];
  let epoch = null;
  let asked = null;
  let askedAt = 0;
  let shownChips = "";
  let run = null; // the recorded run that is shown; its questions take the place of one's own
  let own = null; // one's own turns meanwhile
  const nodes = new Map();
  let untold = null; // what the board told of an answer whose turn is not there yet

  let atEnd = true; // whether the newest turn is in sight; it stays so when the room for the list changes
  log.addEventListener("scroll", () => { atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60; });
  new ResizeObserver(() => { if (atEnd) log.scrollTop = log.scrollHeight; }).observe(log);

  function plan() {
    return makePlan(bus, (target, questions) => send("run", { ...target, questions }));
  }

  function ask(question) {
    const text = question.trim();
    if (!text) {
      setText(hint, "Write a question first.");
      input.focus();
      return;
    }
    if (go.hidden) {
      setText(hint, "One answer at a time: wait for it, or stop it.");
      return;
    }
    if (run) {
      setText(hint, run.refusal);
      return;
    }
    setText(hint, "");
    asked = text;
    askedAt = performance.now();
    busy(true);
    send("ask", { question: text });
  }

  function busy(on) {
    go.hidden = on;
    halt.hidden = !on;
  }

  function grow() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, 132)}px`;
  }

  function draw(turn) {
    let node = nodes.get(turn.id);
    if (!node) {
      const stamp = h("button", { type: "button", class: "hl-stamp", title: "Show this moment on the board", onclick: () => bus.say("goto", turn.at) });
      node = { stamp, question: h("p", { class: "hl-q" }), answer: h("p", { class: "hl-a" }), foot: h("p", { class: "hl-foot" }) };
      node.root = h("li", { class: "hl-turn" }, h("div", { class: "hl-turn-q" }, stamp, node.question), node.answer, node.foot);
      nodes.set(turn.id, node);
      log.append(node.root);
    }
    setText(node.stamp, turn.at === null ? "–:––" : clock(turn.at));
    node.stamp.setAttribute("aria-label", turn.at === null ? "Asked before the first frame" : `Asked at ${clock(turn.at)} of the stream`);
    node.stamp.disabled = turn.at === null;
    setText(node.question, turn.question);
    setText(node.answer, turn.answer);
    node.root.dataset.state = turn.state;
    const foot = { writing: "", error: "", stopped: "Stopped.", done: "" }[turn.state] ?? "";
    const verdict = turn.right === true ? "right" : turn.right === false ? `wrong, the truth is: ${turn.truth}` : "";
    const speed = turn.first_ms === null || turn.first_ms === undefined ? "" : `first token after ${whole(turn.first_ms)} ms`;
    const rest = [foot, speed, turn.policy].filter(Boolean).join(" · ");
    if (node.foot.textContent === [verdict, rest].filter(Boolean).join(" · ")) return;
    node.foot.replaceChildren(...(verdict ? [h("span", { "data-right": String(turn.right) }, verdict), rest ? " · " : ""] : []), rest);
  }

  /** Under an answer whose truth is known: right or wrong, what became of its evidence, and the way there. */
  function tellWhy() {
    if (!untold || untold.fate.right === null) return;
    const { fate, question, answer, seconds } = untold;
    const key = JSON.stringify([question, answer, seconds]);
    const turn = turnOf(turns, untold, key, ({ id }) => nodes.get(id)?.answerKey);
    if (!turn) return; // chat and board come on ways of their own: its turn may be later
    untold = null;
    const node = nodes.get(turn.id);
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    node.answerKey = key;
    node.why ??= node.root.appendChild(h("button", { type: "button", class: "hl-why", title: "Show why on the board", onclick: () => bus.say("why", null) }));
    node.why.dataset.right = String(fate.right);
    const known = turn.right === true || turn.right === false; // then it is said above already
    setText(node.why, `${known ? "Why" : fate.right ? "✓ Right" : "✗ Wrong"} · ${titleOf(fate).toLowerCase()} ↓`);
    if (follow) log.scrollTop = log.scrollHeight;
  }

  bus.on("verdict", (answer) => {
    untold = answer;
    tellWhy();
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(input.value);
  });
  halt.addEventListener("click", () => send("halt", {}));
  input.addEventListener("input", grow);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask(input.value);
    }
  });

  bus.on("ask", (question) => question && ask(question)); // a lesson asks
  bus.on("view", (view) => {
    if (view.restarted) untold = null;
    const about = view.about;
    const said = about.model ? about.model.about : about.error ?? (about.progress || "Loading the model …");
    if (model.textContent !== `${about.model?.name ?? ""}${said}`) {
      model.replaceChildren(...(about.model ? [h("strong", {}, about.model.name)] : []), said);
    }
    model.dataset.kind = about.error ? "error" : "";
    const key = `${about.policy.name} ${about.policy.badge}`;
    if (policy.dataset.key !== key) {
      policy.dataset.key = key;
      policy.replaceChildren(h("span", { class: "hl-badge", title: about.policy.about }, about.policy.badge), ` Memory: ${about.policy.title}`);
    }
    if (asked !== null && !view.answering && performance.now() - askedAt > LOST_MS && turns.at(-1)?.state !== "writing") {
      asked = null;
      busy(false);
      setText(hint, "No answer came. Your question is still here: ask again.");
    }
    showRun(view.run ?? null);
    setText(invitation, run ? (run.stops.length ? "The questions of this run appear here when they are asked." : "Nothing was asked in this run.") : words);
    showChips(run ? run.stops : pickChips(view.chips ?? [], view.clock));
  });

  /** Show a run's questions as they come; afterwards one's own again. */
  function showRun(next) {
    if (next && !run) own = { epoch, turns };
    const left = run && !next;
    run = next;
    if (left) {
      setText(hint, "");
      receive({ epoch: own?.epoch ?? null, turns: own?.turns ?? [] });
    }
    if (!run || (epoch === run.epoch && JSON.stringify(turns) === JSON.stringify(run.turns))) return;
    receive({ epoch: run.epoch, turns: run.turns });
    busy(false);
  }

  function showChips(list) {
    const key = JSON.stringify(list);
    if (key === shownChips) return;
    shownChips = key;
    chips.replaceChildren(...list.map((chip) => h("button", {
      type: "button", class: `hl-chip${chip.due || run ? "" : " is-later"}`,
      onclick: () => (run ? bus.say("seek", before(chip.at)) : ask(chip.text)),
      title: run ? `Go to ${clock(before(chip.at))}, just before it is asked` : chip.due ? null : `Best asked after ${clock(chip.at)}`,
    }, chip.due ? null : h("span", { class: "hl-chip-at" }, clock(chip.at)), chip.text)));
  }

  function receive(message) {
    if (message.epoch !== epoch) {
      nodes.clear();
      log.replaceChildren();
    }
    turns = mergeTurns(turns, epoch, message);
    epoch = message.epoch;
    empty.hidden = turns.length > 0;
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    message.turns.forEach(draw);
    if (follow) log.scrollTop = log.scrollHeight;
    tellWhy();
    const last = turns[turns.length - 1];
    busy(last?.state === "writing");
    if (!last || last.state === "writing") return;
    const mine = asked !== null && input.value.trim() === asked;
    if (mine && last.state !== "error") {
      input.value = "";
      grow();
    }
    asked = null;
    setText(spoken, last.state === "error" ? `Not answered: ${last.answer}` : `Answer: ${last.answer}`);
  }

  return { receive };
}
