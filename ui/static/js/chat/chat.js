// The chat: questions with their stream time, and answers streamed while they are generated. Questions asked meanwhile wait.
import { h, icon, setText } from "../shared/dom.js";
import { hasWords, makeAnswers } from "./answer.js";
import { uncover } from "./uncover.js";
import { dividers, mergeTurns, pickChips, turnOf, verdictText } from "./turns.js";
import { clock, whole } from "../shared/format.js";
import { makePlan } from "../player/plan.js";
import { before } from "../runs/replay.js";

/** After this long without a response, a question counts as lost. */
const LOST_MS = 15_000;
/** Link below an answer without a verdict. */
const READ = "What it read";

/** Build the chat inside `element`; `send(type, data)` calls the server. `planned`: questions are set before a run; `models`: another
 * model can be chosen; `known`: what models with a list of names know, by title ({text, groups: [{group, names}]}).
 * Returns {receive(message)}. */
export function mountChat(element, bus, send, planned = false, models = false, known = {}) {
  const model = h("p", { class: "hl-about-model", id: "hl-about-model" }, "Loading the model …");
  const more = h("button", { type: "button", class: "hl-link", "aria-expanded": "false", "aria-controls": "hl-about-model", "aria-label": "More about the model",
    onclick: () => openAbout(!about.classList.contains("is-open")) }, "More");
  const policy = h("p", { class: "hl-about-policy" });
  const log = h("ol", { class: "hl-log", "aria-label": "Questions and answers", tabindex: "0" });
  const invitation = h("p", {}, planned ? "Choose a clip and its questions, then press Run." : "Ask about anything that the stream has shown so far.");
  const defaultInvitation = invitation.textContent;
  const empty = h("div", { class: "hl-log-empty" }, invitation,
    h("p", {}, "The model answers from its memory only. It does not process the video again. Point at a word of an answer to see what it attended to."));
  const chips = h("div", { class: "hl-chips", role: "group", "aria-label": "Suggested questions" });
  const input = h("textarea", { rows: "1", placeholder: "Ask about the stream …", "aria-label": "Your question", enterkeyhint: "send" });
  const go = h("button", { type: "submit", class: "hl-round", "aria-label": "Ask", title: "Ask (Enter)" }, icon("send"));
  const halt = h("button", { type: "button", class: "hl-round", "aria-label": "Stop the answer", title: "Stop the answer", hidden: true }, icon("stop"));
  const hint = h("p", { class: "hl-hint", role: "status" });
  const clear = h("button", { type: "button", class: "hl-clear", title: "Remove the questions and answers; the memory stays", hidden: true, onclick: () => send("halt", { clear: true }) }, "Clear");
  const another = models ? h("button", { type: "button", class: "hl-link", onclick: () => bus.publish("open-settings", "model") }, "Choose another model") : null;
  const what = h("button", { type: "button", class: "hl-link", "aria-controls": "hl-about-names", onclick: () => openAbout(true) }, "What it knows");
  const advice = h("p", { class: "hl-advice", role: "note", hidden: true }, h("span"), what, another);
  const names = h("div", { class: "hl-names", id: "hl-about-names", tabindex: "0", role: "region", "aria-label": "What the model knows", hidden: true });
  const answers = makeAnswers(bus);
  const spoken = h("p", { class: "hl-hidden", "aria-live": "polite" });
  const about = h("header", { class: "hl-about" }, h("div", { class: "hl-about-head" }, policy, clear), h("div", { class: "hl-about-row" }, model, more), names);
  const form = h("form", { class: "hl-ask" }, input, halt, go);
  element.replaceChildren(h("section", { class: "hl-chat", "aria-label": "Chat" },
    about,
    h("div", { class: "hl-log-wrap" }, empty, log), advice, ...(planned ? [plan().root] : [chips, form, hint]), spoken));

  let turns = [];
  let epoch = null;
  let sent = []; // questions that the server has not confirmed yet, {text, at}
  let stream = 0; // number of the current stream
  let labels = []; // [number, label] of the streams
  let watched = []; // turns whose words have their attention stored
  const newest = new Map(); // conversation -> number of its newest message
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
      setText(hint, "Enter a question first.");
      input.focus();
      return;
    }
    if (run) {
      setText(hint, run.refusal);
      return;
    }
    setText(hint, "");
    sent.push({ text, at: performance.now(), after: turns.at(-1)?.id ?? 0 });
    busy(true);
    send("ask", { question: text });
  }

  function busy(on) {
    halt.hidden = !on;
  }

  /** Show or hide the description of the model with the names that it knows. */
  function openAbout(on) {
    about.classList.toggle("is-open", on);
    more.setAttribute("aria-expanded", String(on));
    more.setAttribute("aria-label", on ? "Less about the model" : "More about the model");
    setText(more, on ? "Less" : "More");
    names.hidden = !on || !names.childElementCount;
    if (on && !names.hidden) names.focus({ preventScroll: true });
  }

  /** Show the names that a model knows, by category; none for a model without a list. */
  function showNames(title) {
    if (names.dataset.title === title) return;
    names.dataset.title = title;
    const list = known[title];
    names.replaceChildren(...(list ? [h("p", {}, list.text), h("dl", {}, list.groups.map(({ group, names: all }) => [h("dt", {}, group), h("dd", {}, all.join(", "))]).flat())] : []));
    names.hidden = !list || !about.classList.contains("is-open");
  }

  /** Whether a turn belongs to the stream that is shown. */
  const isCurrent = (turn) => turn.stream === undefined || turn.stream === stream;

  function grow() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, 132)}px`;
  }

  function draw(turn) {
    let node = nodes.get(turn.id);
    if (!node) {
      const stamp = h("button", { type: "button", class: "hl-stamp", title: "Show this moment on the board", onclick: () => bus.publish("goto", node.at) });
      node = {
        stamp, question: h("p", { class: "hl-q" }), answer: h("p", { class: "hl-a" }), foot: h("p", { class: "hl-foot" }), last: h("div", { class: "hl-turn-foot" }),
        cancel: h("button", { type: "button", class: "hl-link", hidden: true, onclick: () => send("halt", { turn: turn.id }) }, "Cancel"),
        note: h("p", { class: "hl-turn-note", hidden: true }), divider: h("p", { class: "hl-divider", hidden: true }, h("span")),
      };
      node.last.append(node.foot, node.cancel);
      const point = (on) => bus.publish("point", on && isCurrent(turns.find(({ id }) => id === turn.id) ?? {}) ? node.at : null);
      node.root = h("li", { class: "hl-turn", onpointerenter: () => point(true), onpointerleave: () => point(false) }, h("div", { class: "hl-turn-q" }, stamp, node.question), node.answer, node.note, node.last, node.divider);
      nodes.set(turn.id, node);
      log.append(node.root);
    }
    node.at = turn.at;
    setText(node.stamp, turn.at === null ? "–:––" : clock(turn.at));
    const current = isCurrent(turn);
    const when = turn.at === null ? "Asked before the first frame" : `Asked at ${clock(turn.at)} of ${current ? "the" : "an earlier"} stream`;
    node.stamp.setAttribute("aria-label", turn.state === "waiting" ? "Waiting" : when);
    node.stamp.title = turn.at !== null && current ? "Show this moment on the board" : when;
    node.stamp.disabled = turn.at === null || !current;
    setText(node.question, turn.question);
    answers.draw(node.answer, turn, current && (Boolean(run) || watched.includes(turn.id)));
    node.answer.title = run && turn.state === "done" && !hasWords(turn) ? "This recording does not contain the attention of single words." : "";
    if (!node.why && current && ["done", "stopped"].includes(turn.state) && turn.at !== null) {
      node.why = node.last.appendChild(h("button", { type: "button", class: "hl-why", title: "Show on the board what this answer attended to", onclick: () => showRead(turn.id) }, READ));
    }
    node.root.dataset.state = turn.state;
    node.root.classList.toggle("is-earlier", !current);
    node.cancel.hidden = turn.state !== "waiting";
    node.note.hidden = !turn.note || !["writing", "done", "stopped"].includes(turn.state);
    setText(node.note, turn.note ?? "");
    if (!current) unlink(node);
    const foot = { waiting: "Waiting for the answer above.", cancelled: "Not asked.", stopped: "Stopped." }[turn.state] ?? "";
    const verdict = turn.right === true ? "right" : turn.right === false ? `wrong, correct answer: ${turn.truth}` : "";
    const speed = turn.first_ms === null || turn.first_ms === undefined ? "" : `${whole(turn.first_ms)} ms to first token`;
    const previous = turns[turns.findIndex(({ id }) => id === turn.id) - 1];
    const open = turn.state === "waiting" || turn.state === "cancelled";
    const policy = open || (turn.policy === previous?.policy && turn.stream === previous?.stream) ? "" : turn.policy; // stated where it changes
    const rest = [foot, speed, policy].filter(Boolean).join(" · ");
    if (node.foot.textContent === [verdict, rest].filter(Boolean).join(" · ")) return;
    node.foot.replaceChildren(...(verdict ? [h("span", { "data-right": String(turn.right) }, verdict), rest ? " · " : ""] : []), rest);
  }

  /** Keep the verdict of an answer of an earlier stream, which the board no longer knows, as text. */
  function unlink({ why }) {
    if (!why || why.disabled) return;
    why.disabled = true;
    why.title = "The board shows another stream";
    why.hidden = why.textContent === READ;
    setText(why, why.textContent.replace(" ↓", ""));
  }

  /** Show what an answer attended to. A recording jumps to the moment of the answer. */
  function showRead(id) {
    const turn = turns.find((one) => one.id === id);
    if (!turn) return;
    if (run) bus.publish("seek", turn.at);
    bus.publish("read", { question: turn.question, answer: turn.answer, at: turn.at });
    if (nodes.get(id)?.answerKey) bus.publish("why", null);
  }

  /** Show below a scored answer whether it is right, its verdict, and a link to the reasons. */
  function showVerdict() {
    if (!pendingVerdict || pendingVerdict.verdict.right === null) return;
    const { verdict, question, answer, seconds } = pendingVerdict;
    const key = JSON.stringify([question, answer, seconds]);
    const turn = turnOf(turns.filter(isCurrent), pendingVerdict, key, ({ id }) => nodes.get(id)?.answerKey);
    if (!turn) return; // chat and board are updated separately; the turn may arrive later
    pendingVerdict = null;
    const node = nodes.get(turn.id);
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    node.answerKey = key;
    const known = turn.right === true || turn.right === false; // already shown above
    const text = verdictText(verdict, known);
    if (!text || !node.why) return; // without a button, it was asked before the first frame
    node.why.dataset.right = String(verdict.right);
    node.why.disabled = verdict.outcome === "absent";
    node.why.title = node.why.disabled ? "No frame contains evidence of this answer" : "Show the reasons on the board";
    setText(node.why, text);
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
    const before = seconds === null ? null : turns.findLast((turn) => turn.at !== null && turn.at <= seconds + 0.25 && isCurrent(turn));
    for (const [id, { root }] of nodes) root.classList.toggle("is-pointed", id === before?.id);
  });
  bus.on("ask", (question) => question && ask(question)); // from a lesson
  bus.on("view", (view) => {
    if (view.restarted) {
      pendingVerdict = null;
      answers.reset();
      nodes.forEach(unlink);
    }
    if (view.chat && view.chat.epoch === epoch && view.chat.stream > stream) {
      ({ stream, labels } = view.chat);
      turns.forEach(draw);
      drawDividers();
    }
    const about = view.about;
    showNames(about.model?.name ?? "");
    showAdvice(view);
    const text = about.model ? about.model.about : about.error ?? (about.progress || "Loading the model …");
    if (model.textContent !== `${about.model?.name ?? ""}${text}`) {
      model.replaceChildren(...(about.model ? [h("strong", {}, about.model.name)] : []), text);
      model.title = text; // two lines are shown until “More” is pressed
    }
    model.dataset.kind = about.error ? "error" : "";
    more.hidden = !about.model && !about.error;
    const key = `${about.policy.name} ${about.policy.badge}`;
    if (policy.dataset.key !== key) {
      policy.dataset.key = key;
      policy.replaceChildren(h("span", { class: "hl-about-what" }, "Memory: "), `${about.policy.title} `, h("span", { class: "hl-badge", title: `${about.policy.badge}: ${about.policy.about}` }, about.policy.badge));
    }
    if (sent.length && !view.answering && performance.now() - sent[0].at > LOST_MS && !turns.some(({ state }) => state === "writing")) {
      sent = [];
      busy(false);
      setText(hint, "The server did not respond. Your question is still here; ask it again.");
    }
    showRun(view.run ?? null);
    setText(invitation, run ? (run.stops.length ? "The questions of this recording appear here when they are asked." : "This recording has no questions.") : defaultInvitation);
    showChips(run ? run.stops : pickChips(view.chips ?? [], view.clock));
  });

  /** Show the note on the selected source; none while a recorded run is selected and shown. */
  function showAdvice(view) {
    const note = view.run && bus.last("selected") === "run" ? null : view.advice;
    advice.hidden = !note;
    setText(advice.firstChild, note?.text ?? "");
    what.hidden = !names.childElementCount || note?.model !== view.about.model?.name; // the names are those of the present model
    if (another) another.hidden = !note?.answer; // the model suits the source
  }

  bus.on("selected", () => bus.last("view") && showAdvice(bus.last("view")));

  /** Show the questions of a recorded run, and afterwards the visitor's own again. */
  function showRun(next) {
    if (next && !run) own = { epoch, turns, stream, labels, watched };
    const left = run && !next;
    run = next;
    if (left) {
      setText(hint, "");
      show(own ?? { epoch: null, turns: [] });
    }
    if (!run || (epoch === run.epoch && JSON.stringify(turns) === JSON.stringify(run.turns))) return;
    show({ epoch: run.epoch, turns: run.turns });
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

  /** Take a message of the server. Messages of one conversation are numbered, because they may arrive in another order. */
  function receive(message) {
    if (message.n <= (newest.get(message.of) ?? 0)) return;
    newest.set(message.of, message.n);
    if (run) own = { ...message, turns: mergeTurns(own?.turns ?? [], own?.epoch, message) }; // shown when the recording is left
    else show(message);
  }

  /** Show turns: those of a message, or all of a recording. */
  function show(message) {
    if (message.epoch !== epoch) {
      nodes.clear();
      log.replaceChildren();
      answers.reset();
      stream = 0;
    }
    const before = new Map(turns.map(({ id, state }) => [id, state]));
    turns = mergeTurns(turns, epoch, message);
    epoch = message.epoch;
    stream = Math.max(stream, message.stream ?? 0);
    labels = message.labels ?? [];
    const dropped = watched.filter((id) => !message.watched?.includes(id));
    watched = message.watched ?? [];
    empty.hidden = turns.length > 0;
    clear.hidden = Boolean(run) || planned || !turns.length;
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    turns.filter(({ id }) => dropped.includes(id)).forEach(draw);
    message.turns.forEach(draw);
    drawDividers();
    if (follow) log.scrollTop = log.scrollHeight;
    const added = turns.at(-1);
    if (sent.length && added && !before.has(added.id)) uncover(nodes.get(added.id).root);
    showVerdict();
    confirmSent();
    busy(sent.length > 0 || turns.some(({ state }) => state === "writing"));
    const last = turns.findLast(({ state }) => ["done", "stopped", "error"].includes(state));
    if (last && before.has(last.id) && before.get(last.id) !== last.state) setText(spoken, last.state === "error" ? `Not answered: ${last.answer}` : `Answer: ${last.answer}`);
  }

  /** Remove the questions that arrived from the list and, unless they were refused, from the field. */
  function confirmSent() {
    for (const question of sent.slice()) {
      const turn = turns.find(({ id, question: text }) => id > question.after && text.trim() === question.text);
      if (!turn || (turn.state === "writing" && !turn.answer)) continue; // it may still be refused
      sent.splice(sent.indexOf(question), 1);
      if (turn.state !== "error" && input.value.trim() === question.text) {
        input.value = "";
        grow();
      }
    }
  }

  function drawDividers() {
    const found = run ? new Map() : dividers(turns, stream, labels);
    for (const [id, { divider }] of nodes) {
      divider.hidden = !found.has(id);
      setText(divider.firstChild, found.get(id) ?? "");
    }
  }

  bus.on("word-error", (text) => text && setText(hint, text));

  return { receive };
}
