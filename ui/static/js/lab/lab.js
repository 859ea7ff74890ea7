// The lab: two to four memories see the same clip at the same time, and one question goes to all of them; live, or recorded.
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
  let comes = first !== null; // into sight, once there is something to see
  const pulse = makePulse(() => root.open && send("lablook", { frame: shown }));
  const act = (action, more = {}) => {
    notice.hidden = true;
    if (action === "start" || action === "open" || action === "open-file") shown = -1;
    send("labdo", { action, ...more });
    setTimeout(pulse.now, 60);
  };
  const open = (id, seconds = null) => act("open", { id, seconds: seconds ?? runs.find((one) => one.id === id)?.open_at ?? 0, play: !still });

  const notice = h("div", { class: "hl-notice", hidden: true, role: "alert", "data-kind": "error" }, h("p"));
  const live = makeLive({ clips, policies, budgets, act, say });
  const list = makeLabList({ runs, limitMb, upload, open, file: (file) => act("open-file", file), say });
  const replay = makeLabReplay({ act, again: live.again });
  const lanes = makeLanes(showOnBoard);
  const heldTable = makeHeldTable();
  const about = policies.length
    ? "Every memory sees the same frames at the same moments, on the same model and with the same budget. A question waits until all have seen the same."
    : "Every memory saw the same frames at the same moments, on the same model and with the same budget. Recorded runs are shown here; on a computer of your own, or a Space with its own hardware, the lab also runs live.";
  const root = h("details", { class: "hl-lab-box", "data-view": "lab" },
    h("summary", {}, h("h2", {}, "The lab"), h("span", {}, "Two to four memories on the same frames, one question to all")),
    h("div", { class: "hl-lab-body" }, h("p", { class: "hl-caption" }, about), list.root, policies.length ? live.root : null, replay.root, notice,
      lanes.parts.grid, lanes.parts.legend, heldTable.button, heldTable.table, policies.length ? live.talk : null, lanes.parts.table));
  element.replaceChildren(h("section", { class: "hl-lab", "aria-label": "The lab" }, root));

  function say(text) {
    notice.hidden = false;
    setText(notice.firstChild, text);
  }

  /** One memory of the recorded run takes the place of what the page showed, at the same moment. */
  function showOnBoard(lane) {
    act("board", { lane });
    setTimeout(() => bus.say("wanted", true), 150);
    bus.say("board", { view: "filmstrip" });
  }

  function showUp() {
    root.open = true;
    comes = true;
    pulse.now();
  }

  root.addEventListener("toggle", () => root.open && pulse.now());
  bus.on("lab", (count) => count && showUp()); // a lab run was opened under Upload

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
      say(state.notice.text);
    }
    if (comes && (run || state.notice)) {
      comes = false;
      root.scrollIntoView({ block: "start" });
    }
  }

  list.draw({});
  pulse.start();
  if (first) {
    root.open = true;
    if (first.id) open(first.id, first.seconds);
    else say(first.problem);
  }
  return { receive };
}
