// The lab compares two to four memories on the same clip, live or recorded. Each question goes to all of them.
import { h, setText } from "../shared/dom.js";
import { makeHeldTable } from "./held_table.js";
import { makeLanes } from "./lanes.js";
import { makeLive } from "./live.js";
import { firstLabRun, makeLabList, makeLabReplay } from "./recorded.js";
import { makePulse } from "../shared/pulse.js";

/** Build the lab inside `element`. `kit`: {clips, policies, budgets, runs, limitMb, send, upload, bus}. Returns {receive(state)}. */
export function mountLab(element, { clips, policies, budgets, runs = [], limitMb, send, upload, bus }) {
  const first = firstLabRun(location.search, runs);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let shown = -1;
  let run = null;
  let noticeId = null;
  let scrollPending = first !== null; // scroll to the lab once it shows something
  const pulse = makePulse(() => root.open && send("lablook", { frame: shown }));
  const act = (action, more = {}) => {
    notice.hidden = true;
    if (action === "start" || action === "open" || action === "open-file") shown = -1;
    send("labdo", { action, ...more });
    setTimeout(pulse.now, 60);
  };
  const open = (id, seconds = null) => act("open", { id, seconds: seconds ?? runs.find((one) => one.id === id)?.open_at ?? 0, play: !still });

  const notice = h("div", { class: "hl-notice", hidden: true, role: "alert", "data-kind": "error" }, h("p"));
  const live = makeLive({ clips, policies, budgets, act, showError });
  const list = makeLabList({ runs, limitMb, upload, open, file: (file) => act("open-file", file), showError });
  const replay = makeLabReplay({ act, again: live.again });
  const lanes = makeLanes(showOnBoard);
  const heldTable = makeHeldTable();
  const about = policies.length
    ? "All memories see the same frames at the same time, with the same model and budget. A question waits until all of them have reached the same frame."
    : "All memories saw the same frames at the same time, with the same model and budget. Only recorded runs are available here. The lab runs live on your own computer or on a Space with dedicated hardware.";
  const root = h("details", { class: "hl-lab-box", "data-view": "lab" },
    h("summary", {}, h("h2", {}, "The lab"), h("span", {}, "Compare 2–4 methods on one video")),
    h("div", { class: "hl-lab-body" }, h("p", { class: "hl-caption" }, about), list.root, policies.length ? live.root : null, replay.root, notice,
      lanes.parts.grid, lanes.parts.legend, heldTable.button, heldTable.table, policies.length ? live.talk : null, lanes.parts.table));
  element.replaceChildren(h("section", { class: "hl-lab", "aria-label": "The lab" }, root));

  function showError(text) {
    notice.hidden = false;
    setText(notice.firstChild, text);
  }

  /** Show one memory of the recorded run on the board, at the same moment. */
  function showOnBoard(lane) {
    act("board", { lane });
    setTimeout(() => bus.publish("wanted", true), 150);
    bus.publish("board", { view: "filmstrip" });
  }

  function reveal() {
    root.open = true;
    scrollPending = true;
    pulse.now();
  }

  root.addEventListener("toggle", () => root.open && pulse.now());
  bus.on("lab", (count) => count && reveal()); // a lab run was uploaded

  function receive(state) {
    pulse.heard({ state: state.state === "starting" ? "playing" : state.state, answering: state.answering });
    if (state.run?.title !== run?.title || state.run?.label !== run?.label) shown = -1;
    run = state.run;
    if (state.frame) shown = state.frame.index;
    list.draw(state);
    live.root.hidden = Boolean(run);
    if (run) live.talk.hidden = true;
    else live.draw(state);
    replay.draw(state);
    lanes.draw(state);
    heldTable.draw(state);
    if (state.notice && state.notice.id !== noticeId) {
      noticeId = state.notice.id;
      showError(state.notice.text);
    }
    if (scrollPending && (run || state.notice)) {
      scrollPending = false;
      root.scrollIntoView({ block: "start" });
    }
  }

  list.draw({});
  pulse.start();
  if (first) {
    root.open = true;
    if (first.id) open(first.id, first.seconds);
    else showError(first.problem);
  }
  return { receive };
}
