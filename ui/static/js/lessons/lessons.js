// The lessons panel: a list of lessons, and one lesson step by step, beside the real page.
import { h, setText } from "../shared/dom.js";
import { makeStep, paragraph } from "./step.js";
import { makePointer } from "./pointing.js";
import { address, finished, keep, linked, reached, recall, standing } from "./progress.js";

/** While something is not there yet, it is asked for again after this long. */
const AGAIN_MS = 700;

/**
 * Build the panel. `kit`: {lessons, glossary, calculator, bus, send(request), show(wish)}.
 * Returns {receive(reply), open()}.
 */
export function mountLessons(element, { lessons, glossary, calculator, bus, send, show }) {
  let progress = recall();
  let lesson = null;
  let index = 0;
  let step = null;
  let past = [];
  let number = 0;
  let again = 0;
  let opener = null;
  const waits = new Map();
  const pointer = makePointer(show);

  const back = h("button", { type: "button", class: "hl-button is-quiet", "aria-label": "All lessons", onclick: () => list() }, "All lessons");
  const title = h("h2", { id: "hl-lessons-title", tabindex: "-1" }, "Lessons");
  const low = h("button", { type: "button", class: "hl-lessons-low", "aria-expanded": "true", "aria-label": "Make the lesson small", onclick: () => lower(!root.classList.contains("is-low")) }, "–");
  const close = h("button", { type: "button", class: "hl-lessons-close", "aria-label": "Close the lessons", title: "Close; the page becomes as it was", onclick: () => shut() }, "×");
  const body = h("div", { class: "hl-lessons-body" });
  const before = h("button", { type: "button", class: "hl-button", onclick: () => go(index - 1) }, "Back");
  const after = h("button", { type: "button", class: "hl-button is-main", onclick: () => (index + 1 < lesson.steps.length ? go(index + 1) : finish()) }, "Next");
  const where = h("p", { class: "hl-lessons-where" });
  const foot = h("div", { class: "hl-lessons-foot", role: "group", "aria-label": "Steps" }, before, where, after);
  const root = h("aside", { class: "hl-lessons", "aria-labelledby": "hl-lessons-title", hidden: true },
    h("header", { class: "hl-lessons-head" }, title, back, low, close), body, foot);
  element.replaceChildren(root);

  function request(kind, more, then) {
    number += 1;
    waits.set(number, then);
    send({ id: number, kind, lesson: lesson?.id, step: index, ...more });
  }

  function lower(on) {
    root.classList.toggle("is-low", on);
    low.setAttribute("aria-expanded", String(!on));
    low.setAttribute("aria-label", on ? "Make the lesson large" : "Make the lesson small");
    setText(low, on ? "+" : "–");
  }

  function appear() {
    if (root.hidden) opener = document.activeElement;
    root.hidden = false;
    lower(false);
    document.body.classList.add("hl-with-lessons");
  }

  function leave() {
    clearTimeout(again);
    pointer.off();
    if (lesson) {
      request("leave", {}, null);
      bus.say("lesson", null);
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
      h("p", { class: "hl-lessons-intro" }, "Short lessons on the real page. You guess first, then see what the model does. What you have open now waits for you and comes back when you leave."),
      h("ol", { class: "hl-lessons-list" }, lessons.map((item) => h("li", {}, h("button", { type: "button", onclick: () => begin(item, progress[item.id]?.step ?? 0) },
        h("span", { class: "hl-lessons-number", "aria-hidden": "true" }, progress[item.id]?.done ? "✓" : String(item.number)),
        h("strong", {}, item.title), h("span", {}, item.about), h("small", {}, standing(progress, item)))))));
    body.scrollTop = 0;
    title.focus({ preventScroll: true });
  }

  function begin(item, at) {
    appear();
    if (lesson) leave();
    lesson = item;
    past = item.steps.map(() => ({ chosen: null, reply: null }));
    setText(title, `${item.number}. ${item.title}`);
    back.hidden = foot.hidden = false;
    bus.say("lesson", item.id);
    request("open", {}, (reply) => reply.error && step?.note(reply.error, "error"));
    go(at);
  }

  function go(to) {
    clearTimeout(again);
    pointer.off();
    index = to;
    progress = reached(progress, lesson.id, index);
    keep(progress);
    history.replaceState(history.state, "", address(location.href, lesson, index));
    const mine = index;
    step = makeStep(lesson.steps[index], {
      glossary, calculator, act, point: pointer.at,
      chose: (choice) => { past[mine].chosen = choice; },
      reveal,
    }, past[index]);
    body.replaceChildren(step.root);
    body.scrollTop = 0;
    setText(where, `Step ${index + 1} of ${lesson.steps.length}`);
    before.disabled = index === 0;
    setText(after, index + 1 < lesson.steps.length ? "Next" : "Finish");
    step.heading.focus({ preventScroll: true });
    const wish = lesson.steps[index].point;
    if (wish?.view && !matchMedia("(max-width: 640px)").matches) pointer.at(wish);
  }

  function act(which) {
    const action = lesson.steps[index].do[which];
    const shown = step;
    if (action.do === "ask") {
      bus.say("ask", action.question);
      bus.say("ask", null);
      return;
    }
    if (action.do === "show") {
      pointer.at(action.view);
      return;
    }
    if (action.do === "play" || action.do === "run") {
      bus.say("source", action.do === "play" ? { kind: "clip", id: action.clip } : { kind: "run", id: action.run });
      past[index].reply = null;
    }
    shown.busy(which, true);
    shown.note("", "");
    request("act", { action: which }, (reply) => {
      shown.busy(which, false);
      shown.note(reply.error ?? reply.said ?? "", reply.error ? "error" : "info");
      bus.say("settings", null);
    });
  }

  function reveal() {
    clearTimeout(again);
    const mine = index;
    const shown = step;
    request("reveal", {}, (reply) => {
      if (shown !== step) return;
      if (reply.error) {
        shown.note(reply.error, "error");
        return;
      }
      shown.told(reply);
      if (reply.waiting) again = setTimeout(reveal, AGAIN_MS);
      else past[mine].reply = reply;
    });
  }

  function finish() {
    const done = lesson;
    progress = finished(progress, done.id);
    keep(progress);
    const next = lessons.find((item) => item.number > done.number);
    leave();
    foot.hidden = true;
    const heading = h("h3", { tabindex: "-1" }, "Done");
    body.replaceChildren(h("div", { class: "hl-lesson-step" }, heading,
      paragraph(`You finished “${done.title}”. What you had open before is back.`, glossary),
      h("div", { class: "hl-lesson-actions" },
        next ? h("button", { type: "button", class: "hl-button is-main", onclick: () => begin(next, 0) }, `Next: ${next.title}`) : null,
        h("button", { type: "button", class: "hl-button", onclick: () => shut() }, "Close the lessons"))));
    heading.focus({ preventScroll: true });
  }

  let opened = false;
  bus.on("view", () => {
    if (opened) return;
    opened = true;
    glossary.markPage();
    const asked = linked(location.search, lessons);
    if (asked) begin(asked.lesson, asked.step);
  });

  return {
    open: list,
    receive(reply) {
      const then = waits.get(reply.id);
      waits.delete(reply.id);
      then?.(reply);
    },
  };
}
