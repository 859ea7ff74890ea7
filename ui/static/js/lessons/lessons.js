// The lessons panel: the list of lessons and the steps of one lesson, next to the page.
import { h, setText } from "../shared/dom.js";
import { makeStep, paragraph } from "./step.js";
import { makePointer } from "./pointing.js";
import { address, finished, keep, linked, predictions, reached, recall, revealed, statusOf } from "./progress.js";

/** Time between two requests for a result that is not available yet. */
const RETRY_MS = 700;

/**
 * Build the panel. `kit`: {lessons, glossary, calculator, bus, send(request), show(target)}.
 * Returns {receive(reply), open()}.
 */
export function mountLessons(element, { lessons, glossary, calculator, bus, send, show }) {
  let progress = recall();
  let lesson = null;
  let index = 0;
  let step = null;
  let visited = [];
  let requestId = 0;
  let retryTimer = 0;
  let opener = null;
  const callbacks = new Map();
  const pointer = makePointer(show);

  const back = h("button", { type: "button", class: "hl-button is-quiet", "aria-label": "All lessons", onclick: () => list() }, "All lessons");
  const title = h("h2", { id: "hl-lessons-title", tabindex: "-1" }, "Lessons");
  const low = h("button", { type: "button", class: "hl-lessons-low", "aria-expanded": "true", "aria-label": "Minimise the lesson", onclick: () => minimise(!root.classList.contains("is-low")) }, "–");
  const close = h("button", { type: "button", class: "hl-lessons-close", "aria-label": "Close the lessons", title: "Close the lessons and restore the page", onclick: () => shut() }, "×");
  const body = h("div", { class: "hl-lessons-body" });
  const before = h("button", { type: "button", class: "hl-button", onclick: () => go(index - 1) }, "Back");
  const after = h("button", { type: "button", class: "hl-button is-main", onclick: () => (index + 1 < lesson.steps.length ? go(index + 1) : finish()) }, "Next");
  const where = h("p", { class: "hl-lessons-where" });
  const foot = h("div", { class: "hl-lessons-foot", role: "group", "aria-label": "Steps" }, before, where, after);
  const root = h("aside", { class: "hl-lessons", "aria-labelledby": "hl-lessons-title", hidden: true },
    h("header", { class: "hl-lessons-head" }, title, back, low, close), body, foot);
  element.replaceChildren(root);

  function request(kind, more, then) {
    requestId += 1;
    callbacks.set(requestId, then);
    send({ id: requestId, kind, lesson: lesson?.id, step: index, ...more });
  }

  function minimise(on) {
    root.classList.toggle("is-low", on);
    low.setAttribute("aria-expanded", String(!on));
    low.setAttribute("aria-label", on ? "Expand the lesson" : "Minimise the lesson");
    setText(low, on ? "+" : "–");
  }

  function appear() {
    if (root.hidden) opener = document.activeElement;
    root.hidden = false;
    minimise(false);
    document.body.classList.add("hl-with-lessons");
  }

  function leave() {
    clearTimeout(retryTimer);
    pointer.off();
    if (lesson) {
      request("leave", {}, null);
      bus.publish("lesson", null);
      lesson = null;
      history.replaceState(history.state, "", address(location.href, null, 0));
    }
    step = null;
  }

  function shut() {
    leave();
    root.hidden = true;
    document.body.classList.remove("hl-with-lessons");
    if (opener?.isConnected) opener.focus();
  }

  function list() {
    leave();
    appear();
    setText(title, "Lessons");
    back.hidden = foot.hidden = true;
    body.replaceChildren(
      h("p", { class: "hl-lessons-intro" }, "Short interactive lessons on this page. Guess first, then see what the model does. When you leave, the page returns to what you have open now."),
      h("ol", { class: "hl-lessons-list" }, lessons.map((item) => h("li", {}, h("button", { type: "button", onclick: () => begin(item, progress[item.id]?.step ?? 0) },
        h("span", { class: "hl-lessons-number", "aria-hidden": "true" }, progress[item.id]?.done ? "✓" : String(item.number)),
        h("strong", {}, item.title), h("span", {}, item.about), h("small", {}, statusOf(progress, item)))))));
    body.scrollTop = 0;
    title.focus({ preventScroll: true });
  }

  function begin(item, at) {
    appear();
    if (lesson) leave();
    lesson = item;
    visited = item.steps.map(() => ({ chosen: null, reply: null }));
    setText(title, `${item.number}. ${item.title}`);
    back.hidden = foot.hidden = false;
    bus.publish("lesson", item.id);
    request("open", {}, (reply) => reply.error && step?.note(reply.error, "error"));
    go(at);
  }

  function go(to) {
    clearTimeout(retryTimer);
    pointer.off();
    index = to;
    progress = reached(progress, lesson.id, index);
    keep(progress);
    history.replaceState(history.state, "", address(location.href, lesson, index));
    const at = index;
    step = makeStep(lesson.steps[index], {
      glossary, calculator, act, point: pointer.at,
      choose: (choice) => { visited[at].chosen = choice; },
      reveal,
    }, visited[index]);
    body.replaceChildren(step.root);
    body.scrollTop = 0;
    setText(where, `Step ${index + 1} of ${lesson.steps.length}`);
    before.disabled = index === 0;
    setText(after, index + 1 < lesson.steps.length ? "Next" : "Finish");
    step.heading.focus({ preventScroll: true });
    const target = lesson.steps[index].point;
    if (target?.view) pointer.at(target, false);
  }

  /** Select on the page what an action opens. */
  function showSource(action) {
    bus.publish("source", action.do === "play" ? { kind: "clip", id: action.clip } : { kind: "run", id: action.run });
  }

  function act(which) {
    const action = lesson.steps[index].do[which];
    const shown = step;
    if (action.do === "ask") {
      bus.publish("ask", action.question);
      bus.publish("ask", null);
      return;
    }
    if (action.do === "show") {
      pointer.at(action.view);
      return;
    }
    if (action.do === "play" || action.do === "run") {
      showSource(action);
      visited[index].reply = null;
    }
    shown.busy(which, true);
    shown.note("", "");
    request("act", { action: which }, (reply) => {
      shown.busy(which, false);
      shown.note(reply.error ?? reply.notice ?? "", reply.error ? "error" : "info");
      bus.publish("settings", null);
    });
  }

  function reveal() {
    clearTimeout(retryTimer);
    const at = index;
    const shown = step;
    request("reveal", {}, (reply) => {
      if (shown !== step) return;
      if (reply.error) {
        shown.note(reply.error, "error");
        return;
      }
      shown.showResult(reply);
      if (reply.opened) showSource(reply.opened);
      if (reply.waiting) retryTimer = setTimeout(reveal, RETRY_MS);
      else {
        visited[at].reply = reply;
        progress = revealed(progress, lesson.id, at);
        keep(progress);
      }
    });
  }

  function finish() {
    const done = lesson;
    const { of, shown, next: open } = predictions(progress, done);
    if (of && !shown) {
      if (open !== index) go(open);
      step.note("You have not revealed a result yet. Choose an answer, then press “See what happens”.", "info");
      return;
    }
    progress = finished(progress, done);
    keep(progress);
    const next = lessons.find((item) => item.number > done.number);
    leave();
    foot.hidden = true;
    const heading = h("h3", { tabindex: "-1" }, "Done");
    const results = shown < of ? ` You revealed ${shown} of ${of} results.` : "";
    body.replaceChildren(h("div", { class: "hl-lesson-step" }, heading,
      paragraph(`You finished “${done.title}”.${results} The page shows again what you had open before.`, glossary),
      h("div", { class: "hl-lesson-actions" },
        open >= 0 ? h("button", { type: "button", class: "hl-button", onclick: () => begin(done, open) }, `Back to step ${open + 1}`) : null,
        next ? h("button", { type: "button", class: "hl-button is-main", onclick: () => begin(next, 0) }, `Next: ${next.title}`) : null,
        h("button", { type: "button", class: "hl-button", onclick: () => shut() }, "Close the lessons"))));
    heading.focus({ preventScroll: true });
  }

  let opened = false;
  bus.on("view", () => {
    if (opened) return;
    opened = true;
    glossary.markPage();
    const link = linked(location.search, lessons);
    if (link) begin(link.lesson, link.step);
  });

  return {
    open: list,
    receive(reply) {
      const then = callbacks.get(reply.id);
      callbacks.delete(reply.id);
      then?.(reply);
    },
  };
}
