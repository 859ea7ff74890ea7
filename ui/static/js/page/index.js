// Entry point of the page's script. Each Gradio HTML component mounts its part here, and the parts share one bus. The visible parts
// are built before Gradio has started (opening.js) and moved into its components later.
import { mountBoard } from "../board/board.js";
import { mountChat } from "../chat/chat.js";
import { makeBus } from "../shared/dom.js";
import { makeGlossary } from "../lessons/glossary.js";
import { mountExplore } from "../explore/explore.js";
import { makeStateRequests } from "../lab/state.js";
import { mountLab } from "../lab/lab.js";
import { mountLessons } from "../lessons/lessons.js";
import { EARLY, layOut, matchingMoment, readParts } from "./opening.js";
import { mountPlayer } from "../player/player.js";
import { makePost } from "../shared/post.js";
import { giveIdentity } from "./identity.js";
import { mountMemoryControls } from "./memory_controls.js";
import { mountPolicySettings } from "./policy_settings.js";
import { makeSettingsDrawer } from "./settings_drawer.js";
import { openSaved as openSavedBoard } from "./saved_board.js";
import { makeViews, viewOf } from "./views.js";

const bus = makeBus();
const built = new Map(); // part -> {post, receive}
const waiting = []; // Gradio's components that wait until all early parts can be moved
let pane = null;
let headRendered = false; // by Gradio
let held = false; // while true, events are queued until the server knows this page
let giveUpload = (_upload) => {};
const uploadComes = new Promise((resolve) => { giveUpload = resolve; }); // Gradio's upload function, once its player exists
let views = null; // made with the first part of the page; boards that were saved as a page have none
let board = null;
let beside = null; // element of the part "memory", in which the board shows its figures for the first screen
let player = null;
let giveAsking = (_ask) => {};
const askingComes = new Promise((resolve) => { giveAsking = resolve; }); // requests details, once their part exists
let lessons = null;
let lessonsWanted = false;
let keptTheme = null; // keeps the chosen theme while Gradio sets its own at startup
let ownTheme = null; // the theme chosen on this page; it takes precedence over the address
const settings = makeSettingsDrawer(bus);

bus.on("open-settings", (name) => {
  if (name) settings.open(undefined, () => document.querySelector('#hl-settings input[aria-label="Model"]')); // the list of models
});

/** Parse a component's value; null if it is empty. */
function message(props) {
  return props.value ? JSON.parse(props.value) : null;
}

/** What the server offers this part; it never changes. */
function offerOf(props) {
  return props.offer ? JSON.parse(props.offer) : {};
}

/** Upload a file as Gradio's component does: (file) -> its path on the server. Waits until Gradio has started. */
async function upload(...given) {
  const send = await uploadComes;
  return send(...given);
}

/** Request a detail from the server; resolves once the request was sent. */
async function askServer(request) {
  const ask = await askingComes;
  ask(request);
}

function buildPlayer(element, offer, send, shown) {
  player = mountPlayer(element, {
    clips: offer.clips ?? [], runs: offer.runs ?? [], limitMb: offer.limit_mb, planned: Boolean(offer.planned), send, upload, bus, board: () => board, take, shown,
  });
  document.addEventListener("visibilitychange", player.updates.now);
  bus.on("settings", player.updates.now);
  bus.on("wanted", player.updates.now);
  return player.receive;
}

/** Show an update. With the first one, the server knows this page, and the queued events are sent. */
function take(update) {
  player.receive(update.player);
  if (update.board && board) {
    board.receive(update.board);
    if (board.acknowledged() !== update.board.seq) player.updates.now(); // an update is missing; request a key frame
  }
  if (!held) return;
  held = false;
  for (const { post } of built.values()) post.release();
}

/** Build a part inside `element`; `shown` is the key of the embedded moment if the page shows it already. */
function build(part, element, props, shown = null) {
  const post = makePost();
  const { send } = post;
  const offer = offerOf(props);
  views ??= makeViews(bus);
  let receive;
  if (part === "memory") {
    if (beside) element.replaceChildren(...beside.childNodes);
    beside = element;
    receive = () => {};
  } else if (part === "board") {
    beside ??= document.createElement("div");
    board = mountBoard(element, beside, bus, askServer);
    bus.on("board", (request) => request && showView(request));
    bus.on("layer", (layer) => Number.isInteger(layer) && board.show({ layer }));
    receive = board.receive;
    player?.updates.now();
  } else if (part === "detail") {
    giveAsking((request) => send("detail", request));
    receive = (reply) => board?.detail(reply);
  } else if (part === "lab") {
    receive = mountLab(element, {
      clips: offer.clips, policies: offer.policies, budgets: offer.budgets, runs: offer.runs, limitMb: offer.limit_mb, send, upload, bus, views,
    }).receive;
  } else if (part === "explore") {
    receive = mountExplore(bus, { figures: offer.figures, modes: offer.modes, send: (request) => send("explore", request) }).receive;
  } else if (part === "tryit") {
    receive = mountPolicySettings(element, bus, (request) => send("apply", request)).receive;
  } else if (part === "quick") {
    ({ receive } = mountMemoryControls(element, bus, { policies: offer.policies, low: offer.low, high: offer.high, more: settings.button(), send: (request) => send("setting", request) }));
    const first = message(props);
    if (first) receive(first);
  } else if (part === "lessons") {
    lessons = mountLessons(element, {
      lessons: offer.lessons, glossary: makeGlossary(offer.glossary), calculator: offer.calculator, bus,
      send: (request) => send("lesson", request), show: showView,
    });
    if (lessonsWanted) lessons.open();
    receive = lessons.receive;
  } else if (part === "chat") {
    receive = mountChat(element, bus, send, Boolean(offer.planned), Boolean(offer.models), offer.known).receive;
  } else receive = buildPlayer(element, offer, send, shown);
  built.set(part, { post, receive });
}

/** Connect a part with Gradio's component. */
function connect(part, { props, trigger, watch, upload }) {
  const { post, receive } = built.get(part);
  const askState = part === "lab" ? makeStateRequests(receive) : null;
  post.connect((type, data) => (type === "state" ? askState(data) : trigger(type, data)));
  if (!held) post.release();
  watch("value", () => {
    const next = message(props);
    if (!next) return;
    if (part === "player") player.updates.start(next.session);
    else receive(next);
  });
  if (part === "player") {
    giveUpload(upload);
    trigger("hello", {});
  }
}

/** Move the early parts into Gradio's components. */
function takeOver() {
  const there = new Map(waiting.map(([name, { element }]) => [name, element]));
  keptTheme.disconnect();
  pane.adopt(EARLY.map((name) => [name, there.get(name)]));
  pane = null;
  for (const [name, given] of waiting.splice(0)) mount(name, given);
}

/** Mount a part: "player", "chat", "board" … Arguments are those that Gradio hands to `js_on_load`. */
export function mount(part, given) {
  if (!pane) {
    if (!built.has(part)) build(part, given.element, given.props);
    connect(part, given);
    return;
  }
  waiting.push([part, given]);
  takeOverIfComplete();
}

/** Move the early parts once Gradio has rendered all of them and the head above them: the page must not move when the pane is removed. */
function takeOverIfComplete() {
  if (pane && headRendered && EARLY.every((name) => waiting.some(([other]) => other === name))) takeOver();
}

/** Show the page with its embedded moment before Gradio has started. If something is missing, Gradio builds the page. */
export function openPage() {
  giveIdentity();
  rememberTheme();
  const place = document.getElementById("hl-opening");
  const parts = readParts(globalThis.gradio_config);
  if (!place || !parts) return;
  held = true;
  keptTheme = new MutationObserver(rememberTheme);
  keptTheme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  document.title = globalThis.gradio_config.title;
  const embedded = JSON.parse(document.getElementById("hl-moment").textContent);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches || viewOf(location.search) === "compare";
  const moment = matchingMoment(embedded, location.search, offerOf(parts.get("hl-player").props).runs ?? [], calm);
  pane = layOut(place, parts, (name, element, props) => build(name, element, props, moment?.key));
  wireButtons(pane.head);
  if (!moment) return;
  player.receive(moment.player);
  board.receive(moment.board);
}

/** Show a view of the page, with a mode, layer, frame or moment of the board. Settings are in the drawer. */
function showView(request) {
  if (request.view === "try" || request.view === "settings") settings.open();
  board?.show(request);
}

/** The head of the settings drawer. */
export function wireSettings(element) {
  settings.wire(element);
}

/** The page's head, as Gradio has rendered it. */
export function wireHead(element) {
  headRendered = true;
  wireButtons(element);
  takeOverIfComplete();
}

/** The buttons in the page's head. */
function wireButtons(element) {
  element.querySelector(".hl-theme").addEventListener("click", theme);
  element.querySelector(".hl-lessons-open").addEventListener("click", openLessons);
  views ??= makeViews(bus);
  views.wire(element.querySelector(".hl-compare-open"));
}

/** Switch between light and dark, and store the choice in the browser. */
export function theme() {
  const dark = !document.body.classList.contains("dark");
  document.body.classList.toggle("dark", dark);
  ownTheme = dark ? "dark" : "light";
  try {
    localStorage.setItem("hermes-theme", ownTheme);
  } catch { /* storage may be forbidden; the choice is then lost when the page closes */ }
}

/** Apply the theme chosen on this page, or else of the address, the stored one, or the system's. */
export function rememberTheme() {
  let wanted = ownTheme ?? new URLSearchParams(location.search).get("__theme");
  try {
    wanted ??= localStorage.getItem("hermes-theme");
  } catch { /* storage may be forbidden */ }
  const dark = ["dark", "light"].includes(wanted) ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.body.classList.toggle("dark", dark);
}

/** Open the list of lessons. */
export function openLessons() {
  views?.show("stream"); // the lessons are about it
  lessonsWanted = true;
  lessons?.open();
}

/** Show a view of the board: {view, mode, layer, frame, seconds}, each optional. For scripts and the browser tests. */
export function boardView(request) {
  showView(request);
}

/** Show a board that was saved as a page. */
export function openSaved(element, saved) {
  rememberTheme();
  board = openSavedBoard(element, saved);
}
