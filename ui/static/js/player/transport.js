// The stream controls: main button, stop, restart, speed, clock and progress.
import { h, icon, radioKeys, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";
import { RUN_SPEEDS } from "../runs/replay.js";

const SPEEDS = [1, 2, 4, 0]; // 0: as fast as the model can process

/** Label, icon and action of the main button in a state; a planned run can only be stopped. Pure. */
export function mainButton(state, isNew, planned = false) {
  if (planned) return state === "playing" ? { action: "stop", label: "Stop", icon: "stop" } : { action: "start", label: "Run", icon: "play" };
  if (state === "playing") return { action: "pause", label: "Pause", icon: "pause" };
  if (state === "paused") return { action: "resume", label: "Resume", icon: "play" };
  if (state === "ended" && !isNew) return { action: "restart", label: "Play again", icon: "restart" };
  return { action: "start", label: "Start", icon: "play" };
}

/** Status line of the stream. Pure. */
export function stateLine(view, planned = false) {
  if (view.run) return { playing: "Playing", paused: "Paused", ended: "End of the recording" }[view.state] ?? "Ready";
  if (planned) return { playing: "Running", ended: "Finished. Change the questions and run again", failed: "Stopped by an error" }[view.state] ?? "Ready";
  if (view.loading) return view.loading.share === null ? "Starting" : "Starts when the model is ready";
  if (view.freed && view.state !== "failed") return "Finished. Its memory was freed for others";
  const behind = view.behind >= 1 && view.state === "playing" ? ` · the model is ${view.behind.toFixed(1)} s behind` : "";
  const lines = {
    empty: "Ready", playing: `Streaming${behind}`, paused: "Paused. You can still ask questions", ended: "Finished. You can still ask questions",
    failed: "Stopped by an error",
  };
  return lines[view.state] ?? "";
}

/**
 * Build the controls. `kit`: {planned, press(action), pace(speed, run)}; `press` without an action means the main button.
 * Returns {time, line, progress, controls, draw(view, {kind, here, missing})}; `missing`: no file was chosen.
 */
export function makeTransport({ planned, press, pace }) {
  const line = h("p", { class: "hl-state", role: "status" }, "Ready");
  const progress = h("div", { class: "hl-progress", "aria-hidden": "true" }, h("i"));
  const time = h("p", { class: "hl-clock", "aria-label": "Stream clock" }, h("span", {}, "–:––"), h("small", {}, ""));
  const main = h("button", { type: "button", class: "hl-button is-main", onclick: () => press() }, icon("play"), h("span", {}, "Start"));
  const stop = h("button", { type: "button", class: "hl-button is-icon", disabled: true, "aria-label": "Stop", title: "Stop", onclick: () => press("stop") }, icon("stop"));
  const restart = h("button", { type: "button", class: "hl-button is-icon", disabled: true, "aria-label": "Restart", title: "Restart: clear the memory and start from the beginning", onclick: () => press("restart") }, icon("restart"));
  const speed = h("div", { class: "hl-segments is-small", role: "radiogroup", "aria-label": "Speed" });
  const controls = h("div", { class: "hl-controls" }, h("div", { class: "hl-buttons" }, main, stop, restart), speed);
  const updateTabStops = radioKeys(speed);
  let speeds = null;

  /** Show the available speeds; recorded runs have their own. */
  function drawSpeeds(run, now) {
    const offered = run ? RUN_SPEEDS : SPEEDS;
    if (speeds?.offered !== offered) {
      speeds = { offered, nodes: offered.map((one) => h("button", {
        type: "button", role: "radio", title: one ? null : "As fast as the model can process", onclick: () => pace(one, run),
      }, one ? `${one}×` : "Max")) };
      speed.replaceChildren(...speeds.nodes);
    }
    speeds.nodes.forEach((node, i) => node.setAttribute("aria-checked", String(offered[i] === now)));
    updateTabStops();
  }

  return {
    time,
    line,
    progress,
    controls,
    draw(view, { kind, here, missing }) {
      const run = kind === "run";
      const button = mainButton(here ? view.state : "empty", !here, planned && !run);
      setText(main.lastChild, button.label);
      if (main.dataset.icon !== button.icon) {
        main.dataset.icon = button.icon;
        main.firstChild.replaceWith(icon(button.icon));
      }
      main.disabled = missing || Boolean(view.loading) && !(view.loading.share === null && here && view.state === "playing"); // before the first frame
      stop.disabled = Boolean(view.run) || !(view.state === "playing" || view.state === "paused" || view.loading?.share === null);
      restart.disabled = !here || view.state === "empty";
      restart.hidden = planned && !run; // the main button restarts it
      stop.hidden = planned || run;
      speed.hidden = (planned && !run) || kind === "camera";
      drawSpeeds(run, view.speed);
      setText(time.firstChild, clock(here ? view.position ?? view.clock : NaN, true));
      setText(time.lastChild, here && view.duration ? ` / ${clock(view.duration)}` : "");
      setText(line, view.waiting && !run ? "In the queue" : here || view.loading ? stateLine(here ? view : { ...view, run: null }, planned) : "Ready");
      const share = here && view.duration ? Math.min(1, (view.clock || 0) / view.duration) : 0;
      progress.firstChild.style.transform = `scaleX(${Number.isFinite(share) ? share : 0})`;
      progress.hidden = run && Boolean(view.run); // the slider shows the progress
    },
  };
}
