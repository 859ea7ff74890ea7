// Recorded comparisons: their list, links to them, and their playback.
import { h, icon, setText } from "../shared/dom.js";
import { clock, count } from "../shared/format.js";
import { sizeProblem, uploadProblem } from "../shared/upload.js";
import { before, linkTo, makeStrip, readLink, runPanel } from "../runs/replay.js";
import { makeTransport } from "../player/transport.js";

/** The comparison named in the address: {id, seconds, problem}, or null. `id` is null if there is no such comparison. Pure. */
export function firstLabRun(search, runs) {
  const name = new URLSearchParams(search).get("lab");
  if (name === null) return null;
  const known = runs.find((run) => run.id === name);
  if (!known) return { id: null, seconds: 0, problem: "The comparison in this link is not available here." };
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

/** Build the list of recorded comparisons and the file upload. `kit`: {runs, limitMb, upload, open(id), file({path, name}), showError(text)}. */
export function makeLabList({ runs, limitMb, upload, open, file, showError }) {
  const input = h("input", { type: "file", accept: ".hermesrun", class: "hl-hidden", onchange: () => input.files[0] && openFile(input.files[0]) });
  const words = h("span", {}, "Open a saved comparison");
  const slot = h("div", {});
  const root = h("section", { class: "hl-lab-part hl-lab-foldable", "aria-label": "Recorded comparisons" },
    slot, h("label", { class: "hl-link" }, icon("upload"), words, input));
  let shown = null;

  async function openFile(chosen) {
    const problem = sizeProblem(chosen, limitMb, "a saved comparison");
    if (problem) return showError(problem);
    setText(words, `Opening ${chosen.name} …`);
    try {
      const { path } = await upload(chosen);
      file({ path, name: chosen.name });
    } catch (error) {
      showError(uploadProblem(chosen.name, error, limitMb));
    }
    input.value = "";
    return setText(words, "Open a saved comparison");
  }

  return {
    root,
    draw(state) {
      const id = state.run?.id ?? "";
      if (id === shown || !runs.length) return;
      shown = id;
      slot.replaceChildren(runPanel(runs, id, open, "Available comparisons"));
    },
  };
}

/**
 * Build the player of a recorded comparison. `kit`: {act(action, more), again(run)}. Returns {root, guide, draw(state)}: `guide` says what
 * to look at and offers the questions; both are empty while nothing is open.
 */
export function makeLabReplay({ act, again }) {
  let state = { state: "empty" };
  let key = null;
  const root = h("section", { class: "hl-lab-part hl-lab-player", "aria-label": "Recorded comparison", hidden: true });
  const guide = h("div", { class: "hl-lab-guide", hidden: true });
  const labels = { badge: "Recorded", position: "Position in the comparison", live: "Run it live", why: "Close the recording and run the same methods on the same clip now" };
  const strip = makeStrip({
    titled: true,
    seek: (seconds) => act("seek", { seconds }), live: () => again(state.run),
    link: (run, seconds) => linkTo(location.href, { id: run.id, seconds, kind: "lab" }), words: labels,
  });
  const transport = makeTransport({
    planned: false, pace: (speed) => act("pace", { speed }),
    press: (action) => act(action ?? { playing: "pause", paused: "resume" }[state.state] ?? "restart"),
  });
  const close = h("button", { type: "button", class: "hl-button is-icon", "aria-label": "Close", title: "Close this comparison", onclick: () => act("end") }, icon("close"));
  transport.controls.querySelector(".hl-buttons").append(close);
  const picture = h("img", { class: "hl-lab-picture hl-lab-foldable", alt: "The newest frame that all methods had seen" });
  const line = h("p", { class: "hl-state hl-lab-foldable", role: "status" });
  const stops = h("div", { class: "hl-chips hl-lab-stops", role: "group", "aria-label": "Questions of this comparison" });

  return {
    root,
    guide,
    draw(next) {
      state = next;
      root.hidden = guide.hidden = !state.run;
      if (!state.run) {
        root.replaceChildren(); // its controls have the same names as those of live runs
        guide.replaceChildren();
        key = null;
        return;
      }
      if (!root.childElementCount) {
        root.append(picture, h("div", { class: "hl-time" }, transport.time, strip.slider), transport.controls, line, strip.root);
        strip.root.classList.add("hl-lab-foldable");
        guide.append(strip.hint, stops);
      }
      const now = JSON.stringify([state.run.label, state.run.title, state.run.stops]);
      if (key !== now) {
        key = now;
        stops.replaceChildren(...state.run.stops.map((stop) => h("button", {
          type: "button", class: "hl-chip", onclick: () => act("seek", { seconds: stopOf(stop.at, state.state) }),
        }, h("span", { class: "hl-chip-at" }, clock(stop.at)), stop.text)));
      }
      strip.draw(state);
      transport.draw({ ...state, duration: state.run.seconds, loading: null, behind: 0 }, { kind: "run", here: true, missing: false });
      setText(line, replayLine(state));
      if (state.frame) picture.src = `data:image/jpeg;base64,${state.frame.jpeg}`;
    },
  };
}
