// Recorded lab runs: their list, links to them, and their playback.
import { h, icon, setText } from "../shared/dom.js";
import { clock, count } from "../shared/format.js";
import { sizeProblem, uploadProblem } from "../shared/upload.js";
import { before, linkTo, makeStrip, readLink, runPanel } from "../runs/replay.js";
import { makeTransport } from "../player/transport.js";

/** The lab run named in the address: {id, seconds, problem}, or null. `id` is null if there is no such run. Pure. */
export function firstLabRun(search, runs) {
  const name = new URLSearchParams(search).get("lab");
  if (name === null) return null;
  const known = runs.find((run) => run.id === name);
  if (!known) return { id: null, seconds: 0, problem: "The lab run in this link is not available here." };
  return { id: known.id, seconds: readLink(search).seconds ?? known.open_at ?? 0, problem: null };
}

/** Seek target of a question: its answers, or, during playback, shortly before them. Pure. */
export function stopOf(at, state) {
  return state === "playing" ? before(at) : at;
}

/** Status line of the playback. Pure. */
export function replayLine(state) {
  const texts = { playing: "Playing", paused: "Paused", ended: "End of the recording" };
  return `${texts[state.state] ?? ""} · ${count(state.frames, "frame")} seen`;
}

/** Build the list of recorded lab runs and the file upload. `kit`: {runs, limitMb, upload, open(id), file({path, name}), showError(text)}. */
export function makeLabList({ runs, limitMb, upload, open, file, showError }) {
  const input = h("input", { type: "file", accept: ".hermesrun", class: "hl-hidden", onchange: () => input.files[0] && openFile(input.files[0]) });
  const words = h("span", {}, "Open a saved lab run");
  const slot = h("div", {});
  const root = h("section", { class: "hl-lab-part", "aria-label": "Recorded lab runs" },
    h("header", {}, h("h3", {}, "Recorded lab runs"), h("label", { class: "hl-link" }, icon("upload"), words, input)), slot);
  let shown = null;

  async function openFile(chosen) {
    const problem = sizeProblem(chosen, limitMb, "a saved lab run");
    if (problem) return showError(problem);
    setText(words, `Opening ${chosen.name} …`);
    try {
      const { path } = await upload(chosen);
      file({ path, name: chosen.name });
    } catch (error) {
      showError(uploadProblem(chosen.name, error, limitMb));
    }
    input.value = "";
    return setText(words, "Open a saved lab run");
  }

  return {
    root,
    draw(state) {
      const id = state.run?.id ?? "";
      if (id === shown || !runs.length) return;
      shown = id;
      slot.replaceChildren(runPanel(runs, id, open, "Available lab runs"));
    },
  };
}

/** Build the player of a recorded lab run. `kit`: {act(action, more), again(run)}. Returns {root, draw(state)}; `root` is empty while no run is open. */
export function makeLabReplay({ act, again }) {
  let state = { state: "empty" };
  let key = null;
  const root = h("section", { class: "hl-lab-part", "aria-label": "Recorded lab run", hidden: true });
  const labels = { badge: "Recorded lab run", position: "Position in the lab run", live: "Run this comparison live", why: "Close the recording and run the same memories on the same clip now" };
  const strip = makeStrip({
    titled: true,
    seek: (seconds) => act("seek", { seconds }), live: () => again(state.run),
    link: (run, seconds) => linkTo(location.href, { id: run.id, seconds, kind: "lab" }), words: labels,
  });
  const transport = makeTransport({
    planned: false, pace: (speed) => act("pace", { speed }),
    press: (action) => act(action ?? { playing: "pause", paused: "resume" }[state.state] ?? "restart"),
  });
  const close = h("button", { type: "button", class: "hl-button", onclick: () => act("end") }, icon("stop"), h("span", {}, "Close"));
  transport.controls.querySelector(".hl-buttons").append(close);
  const picture = h("img", { class: "hl-lab-screen", alt: "The newest frame that all memories had seen", hidden: true });
  const line = h("p", { class: "hl-state", role: "status" });
  const stops = h("div", { class: "hl-chips hl-lab-stops", role: "group", "aria-label": "Questions of this run" });

  return {
    root,
    draw(next) {
      state = next;
      root.hidden = !state.run;
      if (!state.run) {
        root.replaceChildren(); // its controls have the same names as those of live runs
        key = null;
        picture.hidden = true;
        return;
      }
      if (!root.childElementCount) root.append(h("div", { class: "hl-lab-show" }, picture, strip.root), h("div", { class: "hl-time" }, transport.time, strip.slider), transport.controls, line, stops);
      const now = JSON.stringify([state.run.label, state.run.title, state.run.stops]);
      if (key !== now) {
        key = now;
        stops.replaceChildren(...state.run.stops.map((stop) => h("button", {
          type: "button", class: "hl-chip", onclick: () => act("seek", { seconds: stopOf(stop.at, state.state) }),
        }, h("span", { class: "hl-chip-at" }, clock(stop.at)), stop.text)));
      }
      strip.draw(state);
      transport.draw({ ...state, duration: state.run.seconds, loading: null, behind: 0 }, { kind: "run", here: true });
      setText(line, replayLine(state));
      if (state.frame) {
        picture.src = `data:image/jpeg;base64,${state.frame.jpeg}`;
        picture.hidden = false;
      }
    },
  };
}
