// Compare: two to four methods on the same clip, live or recorded. Each question goes to all of them.
import { h, icon, setText } from "../shared/dom.js";
import { makePulse } from "../shared/pulse.js";
import { makeCards, makeLegend } from "./cards.js";
import { makeHeldTable } from "./held_table.js";
import { makeLive } from "./live.js";
import { makePins, pinOf } from "./pins.js";
import { lastQuestion, makeQuestions, questionLine } from "./questions.js";
import { firstLabRun, makeLabList, makeLabReplay } from "./recorded.js";
import { makeTabs } from "./tabs.js";

const WHERE = "Only recorded comparisons are available here. Live ones run on your own computer or on a Space with dedicated hardware.";

/** The recorded comparison on a clip, or undefined. Pure. */
export function runOfClip(runs, clip) {
  return runs.find((run) => run.clip === clip);
}

/** The tab of the side panel that belongs to a state, or null if it does not tell. Pure. */
export function tabOf(state) {
  if (state.run) return "recorded";
  return state.lanes.length || state.state === "starting" ? "live" : null;
}

/**
 * Build the view inside `element`. `kit`: {clips, policies, budgets, runs, limitMb, send, upload, bus, views}; without `policies` only
 * recorded comparisons are shown. Returns {receive(state)}.
 */
export function mountLab(element, { clips, policies, budgets, runs = [], limitMb, send, upload, bus, views }) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let state = { state: "empty", lanes: [], asked: [], run: null };
  let shown = -1; // number of the frame on the page
  let run = null;
  let tab = null; // the tab of the last state
  let follow = true; // select the tab of the state; not after the visitor has selected another one
  let noticeId = null;
  let pinId = 0;
  let opened = false; // something was opened, so that the view does not open a recording by itself
  let awaiting = false; // a recording was requested and has not arrived
  let resume = false; // the recording was paused because the view was left
  const pulse = makePulse(() => views.shown() === "compare" && send("state", { frame: shown }));

  const act = (action, more = {}) => {
    notice.hidden = true;
    opened = true;
    if (action === "start" || action === "open" || action === "open-file") {
      shown = -1;
      follow = true;
      fold(true);
      awaiting = action !== "start";
    }
    send("labdo", { action, ...more });
    setTimeout(pulse.now, 60);
  };
  const open = (id, seconds = null) => act("open", { id, seconds: seconds ?? runs.find((one) => one.id === id)?.open_at ?? 0, play: !still });

  const notice = h("div", { class: "hl-notice", hidden: true, role: "alert", "data-kind": "error" }, h("p"));
  const live = makeLive({ clips, policies, budgets, act, showError });
  const list = makeLabList({ runs, limitMb, upload, open, file: (file) => act("open-file", file), showError });
  const replay = makeLabReplay({ act, again: live.again });
  const cards = makeCards("Methods side by side", {
    recorded: { text: "Open in the stream view", label: (name) => `Open ${name} in the stream view`, open: showInStream },
    live: { text: "Explore the figures", label: (name) => `Explore the figures of ${name}`, open: exploreLive },
  });
  const questions = makeQuestions();
  const heldTable = makeHeldTable();
  const ofStream = h("button", { type: "button", class: "hl-button", title: "Pin the memory and the last answer of the stream view", onclick: () => act("pin-stream") }, icon("pin"), h("span", {}, "Pin the stream view"));
  const pins = makePins({ changed: (number) => labelPins(number), showError, more: [ofStream] });
  const recorded = h("div", { class: "hl-lab-stack" }, replay.root, list.root, policies.length ? null : h("p", { class: "hl-caption" }, WHERE));
  const tabs = makeTabs([
    { name: "recorded", label: "Recorded", root: recorded },
    ...(policies.length ? [{ name: "live", label: "Live", root: live.root }] : []),
    { name: "pins", label: "Pinned", root: pins.panel },
  ], (_name, byHand) => {
    if (byHand) {
      follow = false;
      fold(false); // to choose something else
    }
    drawMain();
  });
  const folding = h("button", { type: "button", class: "hl-link hl-lab-fold", onclick: () => fold(!root.classList.contains("is-folded")) });
  const back = h("button", { type: "button", class: "hl-button", onclick: () => views.show("stream") }, icon("back"), h("span", {}, "Back to the stream"));
  const title = h("h2", { tabindex: "-1" }, "Compare 2–4 methods on one video");
  const pin = h("button", { type: "button", class: "hl-button", title: "Keep this result in this tab and compare it with another one later", onclick: () => keep(state) }, icon("pin"), h("span", {}, "Pin this result"));
  const tools = h("div", { class: "hl-lab-tools hl-lab-foldable" }, heldTable.button, pin);
  const legend = makeLegend();
  const asked = h("div", { hidden: true });
  const empty = h("p", { class: "hl-figure-empty is-flat" }, policies.length
    ? "Open a recorded comparison, or choose two to four methods under Live and press Run. Each method sees the same frames and gets the same questions."
    : "Open a recorded comparison.");
  const comparison = h("div", { class: "hl-lab-stack hl-lab-comparison" }, replay.guide, policies.length ? live.talk : null, empty, asked, cards.root, legend, heldTable.table, questions.parts);
  const root = h("section", { class: `hl-lab${runs.length ? " is-opening" : ""}`, "aria-label": "Compare", "data-view": "lab" },
    h("header", { class: "hl-lab-head" }, back, folding, title, tools),
    h("div", { class: "hl-lab-body" }, tabs.root, h("div", { class: "hl-lab-main" }, notice, comparison, pins.main)));
  element.replaceChildren(root);

  /** On a phone, hide the controls that the results do not need, so that the results come first. */
  function fold(folded) {
    root.classList.toggle("is-folded", folded);
    folding.setAttribute("aria-expanded", String(!folded));
    setText(folding, folded ? "More controls" : "Fewer controls");
  }

  function showError(text) {
    notice.hidden = false;
    setText(notice.firstChild, text);
  }

  function labelPins(number) {
    queueMicrotask(() => tabs.label("pins", number ? `Pinned (${number})` : "Pinned")); // the tabs are built after the pins
  }

  /** Pin the result that a state shows. */
  function keep(from) {
    notice.hidden = true;
    pinId = Math.max(pinId + 1, Date.now()); // other than those of the last page in this tab
    const made = pinOf(from, pinId);
    if (made && pins.add(made)) tabs.choose("pins");
  }

  /** Show one method of the recorded comparison in the stream view, at the same moment. */
  function showInStream(lane) {
    act("board", { lane });
    bus.publish("replaced", true);
    views.show("stream");
    setTimeout(() => bus.publish("wanted", true), 150);
  }

  /** Show one method of the live comparison in the tab Explore. */
  function exploreLive(lane) {
    bus.publish("explore", { source: `lane-${lane}` });
    views.show("stream");
  }

  /** Show the comparison or the pins, and what can be done with it. */
  function drawMain() {
    const pinned = tabs.chosen() === "pins";
    const filled = state.lanes.length > 0;
    root.classList.toggle("is-pinned", pinned);
    comparison.hidden = pinned;
    pins.main.hidden = !pinned;
    tools.hidden = pinned || !filled;
    folding.hidden = pinned || !filled;
    empty.hidden = filled;
    legend.hidden = !filled;
    pin.disabled = pinOf(state, 0) === null;
    if (pinned) pins.paint();
    else cards.paint();
  }

  function drawQuestion() {
    const last = lastQuestion(state);
    asked.hidden = !state.lanes.length || last.question === null;
    const key = JSON.stringify(last);
    if (asked.dataset.key === key) return;
    asked.dataset.key = key;
    asked.replaceChildren(questionLine(last));
  }

  /** Open a recorded comparison if the view is empty, as the page itself opens with a recorded run. */
  function openFirst() {
    if (opened || state.state !== "empty" || !runs.length) return;
    const before = follow;
    open(runs[0].id);
    follow = before; // the visitor did not ask for it
  }

  bus.on("page-view", (view) => {
    if (view === "compare") {
      if (resume) act("resume");
      resume = false;
      pulse.now();
      title.focus({ preventScroll: true });
    } else if (state.run && state.state === "playing") {
      act("pause");
      resume = true;
    }
  });
  bus.on("lab", (count) => { // a recorded comparison was uploaded in the stream view
    if (!count) return;
    opened = follow = true;
    views.show("compare");
    pulse.now();
  });
  bus.on("compare", (request) => { // from a recorded run in the stream view
    if (!request) return;
    const known = runOfClip(runs, request.clip);
    const busy = state.lanes.length > 0 && !state.run; // a live comparison is not replaced
    if (!busy && known) open(known.id, Math.min(request.seconds, known.seconds));
    else if (!busy) {
      opened = true;
      live.choose(request.clip);
      tabs.choose("live");
    }
    views.show("compare");
  });

  function receive(next) {
    state = next;
    pulse.heard({ state: state.state === "starting" ? "playing" : state.state, answering: state.answering });
    if (state.run?.title !== run?.title || state.run?.label !== run?.label) shown = -1;
    run = state.run;
    if (state.frame) shown = state.frame.index;
    if (state.run || state.notice) awaiting = false;
    const now = tabOf(state);
    if (now !== tab) {
      fold(now !== null && follow); // the controls come first while nothing is shown, and while the visitor chooses something else
      tab = now;
      if (now && follow) tabs.choose(now);
    }
    opened ||= now !== null;
    list.draw(state);
    live.draw(state.run ? { ...state, state: "empty", lanes: [], clock: null, frame: null } : state);
    replay.draw(state);
    cards.draw(state);
    questions.draw(state);
    drawQuestion();
    heldTable.draw(state);
    drawMain();
    if (state.pin) keep(state.pin);
    if (state.notice && state.notice.id !== noticeId) {
      noticeId = state.notice.id;
      showError(state.notice.text);
    }
    openFirst();
    root.classList.toggle("is-opening", awaiting);
  }

  list.draw({});
  fold(false);
  drawMain();
  pulse.start();
  const first = firstLabRun(location.search, runs);
  if (first?.id) open(first.id, first.seconds);
  else if (first) {
    opened = true;
    showError(first.problem);
  }
  return { receive };
}
