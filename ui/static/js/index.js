// What the page's components call: each Gradio HTML component mounts its part here, and the parts share one bus.
import { mountBoard } from "./board.js";
import { mountChat } from "./chat.js";
import { makeBus } from "./dom.js";
import { makeGlossary } from "./glossary.js";
import { mountLab } from "./lab.js";
import { mountLessons } from "./lessons.js";
import { mountPlayer } from "./player.js";
import { noteWhoseSettings } from "./run_settings.js";
import { mountTryIt } from "./tryit.js";
import { openSaved as openSavedBoard } from "./saved.js";

const bus = makeBus();
let board = null;
let askServer = () => {};
let lessons = null;
noteWhoseSettings(bus, () => document.querySelector("#hl-settings .label-wrap > span"));

/** Parse a component's value; an empty one is no message. */
function message(props) {
  return props.value ? JSON.parse(props.value) : null;
}

/** Mount a part: "player", "chat" or "board". Arguments are those that Gradio hands to `js_on_load`. */
export function mount(part, { element, props, trigger, watch, upload }) {
  const send = (type, data) => trigger(type, data);
  let receive = null;
  if (part === "board") {
    board = mountBoard(element, bus, (request) => askServer(request));
    bus.on("layer", (layer) => Number.isInteger(layer) && board.show({ layer }));
    receive = board.receive;
  } else if (part === "detail") {
    askServer = (request) => send("detail", request);
    receive = (reply) => board?.detail(reply);
  } else if (part === "lab") {
    receive = mountLab(element, {
      clips: props.clips, policies: props.policies, budgets: props.budgets, runs: props.runs, limitMb: props.limit_mb, send, upload, bus,
    }).receive;
  } else if (part === "tryit") {
    receive = mountTryIt(element, bus, (wish) => send("wish", wish)).receive;
  } else if (part === "lessons") {
    lessons = mountLessons(element, {
      lessons: props.lessons, glossary: makeGlossary(props.glossary), calculator: props.calculator, bus,
      send: (request) => send("lesson", request), show: (wish) => board?.show(wish),
    });
    receive = lessons.receive;
  } else if (part === "chat") {
    receive = mountChat(element, bus, send, Boolean(props.planned)).receive;
  } else {
    const player = mountPlayer(element, {
      clips: props.clips ?? [], runs: props.runs ?? [], limitMb: props.limit_mb, planned: Boolean(props.planned), send, upload, bus, board: () => board,
    });
    receive = player.receive;
    document.addEventListener("visibilitychange", () => document.hidden || player.pulse.now());
    bus.on("settings", player.pulse.now);
    bus.on("wanted", player.pulse.now);
    player.pulse.start();
  }
  watch("value", () => {
    const next = message(props);
    if (next) receive(next);
  });
}

/** Light, dark, or as the system has it; remembered in the browser. */
export function theme() {
  const dark = !document.body.classList.contains("dark");
  document.body.classList.toggle("dark", dark);
  try {
    localStorage.setItem("hermes-theme", dark ? "dark" : "light");
  } catch { /* storage may be forbidden; the choice then lasts until the page closes */ }
}

/** Apply a remembered theme, unless the address names one. */
export function rememberTheme() {
  if (location.search.includes("__theme=")) return;
  try {
    const kept = localStorage.getItem("hermes-theme");
    if (kept) document.body.classList.toggle("dark", kept === "dark");
  } catch { /* storage may be forbidden */ }
}

/** Open the list of lessons. */
export function openLessons() {
  lessons?.open();
}

/** Show a view of the board: {view, mode, layer, frame, seconds}, each optional; `view` is a `data-view` of the page. */
export function boardView(wish) {
  board?.show(wish);
}

/** Show a board that was saved as a page. */
export function openSaved(element, saved) {
  board = openSavedBoard(element, saved);
}
