// The chat: questions with their stream time, and answers streamed while they are generated.
import { h, icon, setText } from "../shared/dom.js";
import { titleOf } from "../board/evidence.js";
import { clock, whole } from "../shared/format.js";
import { makePlan } from "./plan.js";
import { before } from "../runs/replay.js";

/** After this long without a response, a question counts as lost. */
const LOST_MS = 15_000;

/** Merge the turns of a message into the list; a new epoch resets it. Pure. */
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
 * The turn of the board's last answer: the newest with the same question and answer. Undefined until that turn has arrived: a turn
 * that already belongs to another answer (`has(turn)` is its key, `key` the answer's) is older. Pure.
 */
export function turnOf(turns, answer, key, has) {
  const newest = turns.findLast((turn) => turn.question.trim() === answer.question && turn.state !== "writing"
    && (turn.state === "stopped" || turn.answer.trim() === answer.answer.trim()));
  return newest && [undefined, key].includes(has(newest)) ? newest : undefined;
}

/** The suggested questions to show: the `past` newest ones that are due and the `ahead` next ones. Pure. */
export function pickChips(chips, seconds, past = 3, ahead = 1) {
  const due = (chip) => !(chip.at > 0) || (Number.isFinite(seconds) && seconds >= chip.at - 0.05);
  const ready = chips.filter(due);
  const later = chips.filter((chip) => !due(chip));
  const room = past + ahead;
  const next = later.slice(0, Math.max(ahead, room - ready.length));
  return [...ready.slice(-(room - next.length)), ...next].slice(-room).map((chip) => ({ ...chip, due: due(chip) }));
}

/** Build the chat inside `element`; `send(type, data)` calls the server. `planned`: questions are set before a run.
 * Returns {receive(message)}. */
export function mountChat(element, bus, send, planned = false) {
  const model = h("p", { class: "hl-about-model", id: "hl-about-model" }, "Loading the model …");
  const more = h("button", { type: "button", class: "hl-info", "aria-expanded": "false", "aria-controls": "hl-about-model", "aria-label": "About the model", title: "About the model",
    onclick: () => more.setAttribute("aria-expanded", String(about.classList.toggle("is-open"))) }, "?");
  const policy = h("p", { class: "hl-about-policy" });
  const log = h("ol", { class: "hl-log", "aria-label": "Questions and answers", tabindex: "0" });
  const invitation = h("p", {}, planned ? "Choose a clip and its questions, then press Run." : "Ask about anything that the stream has shown so far.");
  const defaultInvitation = invitation.textContent;
  const empty = h("div", { class: "hl-log-empty" }, invitation,
    h("p", {}, "The model answers from its memory only. It does not process the video again."));
  const chips = h("div", { class: "hl-chips", role: "group", "aria-label": "Suggested questions" });
  const input = h("textarea", { rows: "1", placeholder: "Ask about the stream …", "aria-label": "Your question", enterkeyhint: "send" });
  const go = h("button", { type: "submit", class: "hl-round", "aria-label": "Ask", title: "Ask (Enter)" }, icon("send"));
  const halt = h("button", { type: "button", class: "hl-round", "aria-label": "Stop the answer", title: "Stop the answer", hidden: true }, icon("stop"));
  const hint = h("p", { class: "hl-hint", role: "status" });
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const about = h("header", { class: "hl-about" }, h("div", { class: "hl-about-head" }, policy, more), model);
  const form = h("form", { class: "hl-ask" }, input, go, halt);
  element.replaceChildren(h("section", { class: "hl-chat", "aria-label": "Chat" },
    about,
    h("div", { class: "hl-log-wrap" }, empty, log), ...(planned ? [plan().root] : [chips, form, hint]), spoken));

  let turns = [];
  let epoch = null;
  let asked = null;
  let askedAt = 0;
  let shownChips = "";
  let run = null; // the recorded run that is shown; its questions replace the visitor's
  let own = null; // the visitor's turns meanwhile
  const nodes = new Map();
  let pendingVerdict = null; // verdict of an answer whose turn has not arrived yet

  let atEnd = true; // whether the newest turn is visible; it stays visible when the list is resized
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
      setText(hint, "An answer is being generated. Wait for it or stop it.");
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
      const stamp = h("button", { type: "button", class: "hl-stamp", title: "Show this moment on the board", onclick: () => bus.publish("goto", turn.at) });
      node = { stamp, question: h("p", { class: "hl-q" }), answer: h("p", { class: "hl-a" }), foot: h("p", { class: "hl-foot" }), last: h("div", { class: "hl-turn-foot" }) };
      node.last.append(node.foot);
      node.root = h("li", { class: "hl-turn", onpointerenter: () => bus.publish("point", turn.at), onpointerleave: () => bus.publish("point", null) }, h("div", { class: "hl-turn-q" }, stamp, node.question), node.answer, node.last);
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
    const verdict = turn.right === true ? "right" : turn.right === false ? `wrong, correct answer: ${turn.truth}` : "";
    const speed = turn.first_ms === null || turn.first_ms === undefined ? "" : `${whole(turn.first_ms)} ms to first token`;
    const previous = turns[turns.findIndex(({ id }) => id === turn.id) - 1];
    const policy = turn.policy === previous?.policy ? "" : turn.policy; // stated where it changes
    const rest = [foot, speed, policy].filter(Boolean).join(" · ");
    if (node.foot.textContent === [verdict, rest].filter(Boolean).join(" · ")) return;
    node.foot.replaceChildren(...(verdict ? [h("span", { "data-right": String(turn.right) }, verdict), rest ? " · " : ""] : []), rest);
  }

  /** Show below a scored answer whether it is right, its verdict, and a link to the reasons. */
  function showVerdict() {
    if (!pendingVerdict || pendingVerdict.fate.right === null) return;
    const { fate, question, answer, seconds } = pendingVerdict;
    const key = JSON.stringify([question, answer, seconds]);
    const turn = turnOf(turns, pendingVerdict, key, ({ id }) => nodes.get(id)?.answerKey);
    if (!turn) return; // chat and board are updated separately; the turn may arrive later
    pendingVerdict = null;
    const node = nodes.get(turn.id);
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    node.answerKey = key;
    node.why ??= node.last.appendChild(h("button", { type: "button", class: "hl-why", title: "Show the reasons on the board", onclick: () => bus.publish("why", null) }));
    node.why.dataset.right = String(fate.right);
    const known = turn.right === true || turn.right === false; // already shown above
    setText(node.why, `${known ? "Why" : fate.right ? "✓ Right" : "✗ Wrong"} · ${titleOf(fate).toLowerCase()} ↓`);
    if (follow) log.scrollTop = log.scrollHeight;
  }

  bus.on("verdict", (answer) => {
    pendingVerdict = answer;
    showVerdict();
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

  bus.on("cursor", (seconds) => { // highlight the last question before the moment under the cursor
    const before = seconds === null ? null : turns.findLast(({ at }) => at !== null && at <= seconds + 0.25);
    for (const [id, { root }] of nodes) root.classList.toggle("is-pointed", id === before?.id);
  });
  bus.on("ask", (question) => question && ask(question)); // from a lesson
  bus.on("view", (view) => {
    if (view.restarted) pendingVerdict = null;
    const about = view.about;
    const text = about.model ? about.model.about : about.error ?? (about.progress || "Loading the model …");
    if (model.textContent !== `${about.model?.name ?? ""}${text}`) {
      model.replaceChildren(...(about.model ? [h("strong", {}, about.model.name)] : []), text);
    }
    model.dataset.kind = about.error ? "error" : "";
    const key = `${about.policy.name} ${about.policy.badge}`;
    if (policy.dataset.key !== key) {
      policy.dataset.key = key;
      policy.replaceChildren(`Memory: ${about.policy.title} `, h("span", { class: "hl-badge", title: about.policy.about }, about.policy.badge));
    }
    if (asked !== null && !view.answering && performance.now() - askedAt > LOST_MS && turns.at(-1)?.state !== "writing") {
      asked = null;
      busy(false);
      setText(hint, "The server did not respond. Your question is still here; ask it again.");
    }
    showRun(view.run ?? null);
    setText(invitation, run ? (run.stops.length ? "The questions of this recording appear here when they are asked." : "This recording has no questions.") : defaultInvitation);
    showChips(run ? run.stops : pickChips(view.chips ?? [], view.clock));
  });

  /** Show the questions of a recorded run, and afterwards the visitor's own again. */
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
      onclick: () => (run ? bus.publish("seek", before(chip.at)) : ask(chip.text)),
      title: run ? `Go to ${clock(before(chip.at))}, just before this question` : chip.due ? null : `Best asked after ${clock(chip.at)}`,
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
    showVerdict();
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
