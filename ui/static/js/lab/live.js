// Live comparisons: the choice of methods, clip and budget, the controls, and the question to all methods.
import { h, icon, setText } from "../shared/dom.js";
import { clock, count, whole } from "../shared/format.js";
import { makeRecord } from "../player/record.js";

const START = ["hermes", "sliding-window", "full"];
const METHODS = 4;
const SPEEDS = [[1, "1×"], [4, "4×"], [0, "Max"]];

/** The selected methods, without empty and duplicate names. Pure. */
export function chosen(values) {
  return [...new Set(values.filter(Boolean))];
}

/** Label, icon and action of the main button. Pure. */
export function mainAction(state) {
  if (state === "playing") return { action: "pause", label: "Pause", icon: "pause" };
  if (state === "paused") return { action: "resume", label: "Resume", icon: "play" };
  return { action: "start", label: state === "ended" ? "Run again" : "Run", icon: "play" };
}

/** Status line of a live comparison. Pure. */
export function liveLine(state) {
  const texts = { starting: "Starting …", playing: "Running", paused: "Paused", ended: "Finished. You can still ask questions", failed: state.error ?? "Stopped by an error" };
  const known = state.clock !== null && state.clock !== undefined;
  return `${texts[state.state] ?? ""}${known ? ` · ${clock(state.clock)} of ${clock(state.duration)}, ${count(state.frames, "frame")}` : ""}`;
}

const option = (value, text) => h("option", { value }, text);

/** The policies in the groups in which results are listed: [[title, policies]]. Pure. */
export function grouped(policies) {
  return [...new Set(policies.map((policy) => policy.group))].map((title) => [title, policies.filter((policy) => policy.group === title)]);
}

function select(label, options, value) {
  const node = h("select", {}, options);
  node.value = value;
  return [h("label", { class: "hl-lab-pick" }, h("span", {}, label), node), node];
}

/**
 * Build the controls of a live comparison. `kit`: {clips, policies, budgets, act(action, more), showError(text)}.
 * Returns {root, talk, again(run), choose(clip), draw(state)}; `talk` contains the question field.
 */
export function makeLive({ clips, policies, budgets, act, showError }) {
  let state = { state: "empty", lanes: [] };
  const picks = Array.from({ length: METHODS }, (_, i) => select(`Method ${i + 1}`, [
    ...(i < 2 ? [] : [option("", "none")]), ...grouped(policies).map(([label, members]) => h("optgroup", { label }, members.map((policy) => option(policy.name, policy.title)))),
  ], policies.some((policy) => policy.name === START[i]) ? START[i] : ""));
  const [clipLabel, clip] = select("Clip", clips.map((one) => option(one.id, `${one.title} (${clock(one.seconds)})`)), clips[0]?.id);
  const [budgetLabel, budget] = select("Budget per layer", budgets.map((tokens) => option(String(tokens), `${whole(tokens)} tokens`)), "128");
  const [speedLabel, speed] = select("Speed", SPEEDS.map(([value, text]) => option(String(value), text)), "4");
  const main = h("button", { type: "button", class: "hl-button is-main", onclick: press }, icon("play"), h("span", {}, "Run"));
  const end = h("button", { type: "button", class: "hl-button", disabled: true, onclick: () => act("end") }, icon("stop"), h("span", {}, "End"));
  const record = makeRecord((action) => act(action));
  const line = h("p", { class: "hl-state", role: "status" });
  const picture = h("img", { class: "hl-lab-picture hl-lab-foldable", alt: "The newest frame that all methods have seen", hidden: true });
  const progress = h("div", { class: "hl-progress", "aria-hidden": "true" }, h("i"));
  const chips = h("div", { class: "hl-chips", role: "group", "aria-label": "Suggested questions for this clip" });
  const input = h("input", { type: "text", maxlength: "500", placeholder: "Ask all methods …", "aria-label": "Question to all methods" });
  const go = h("button", { type: "submit", class: "hl-button" }, "Ask all");
  const form = h("form", { class: "hl-lab-ask" }, input, go);
  const talk = h("div", { class: "hl-lab-talk", hidden: true }, form, chips);
  const root = h("section", { class: "hl-lab-part", "aria-label": "Live comparison" },
    h("div", { class: "hl-lab-picks hl-lab-foldable" }, picks.map(([label]) => label), clipLabel, budgetLabel, speedLabel),
    h("div", { class: "hl-lab-run" }, main, end, record.button), record.line, picture, progress, line,
    h("p", { class: "hl-caption hl-lab-foldable" }, "All methods see the same frames, with the same model and budget. Changes apply to the next run."));

  function press() {
    const { action } = mainAction(state.state);
    return action === "start" ? start() : act(action);
  }

  function start() {
    const names = chosen(picks.map(([, node]) => node.value));
    if (names.length < 2) return showError("Choose at least two different methods.");
    setText(line, "Starting …");
    return act("start", { clip: clip.value, budget: Number(budget.value), speed: Number(speed.value), policies: names });
  }

  function ask(question) {
    if (!question.trim()) return input.focus();
    input.value = "";
    return act("ask", { question });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(input.value);
  });

  function showChips() {
    const questions = clips.find((one) => one.id === clip.value)?.questions ?? [];
    const texts = [...new Set(questions)].slice(0, 6);
    chips.replaceChildren(...texts.map((text) => h("button", { type: "button", class: "hl-chip", onclick: () => ask(text) }, text)));
  }
  clip.addEventListener("change", showChips);
  showChips();

  return {
    root,
    talk,
    /** Select a clip for the next run. */
    choose(id) {
      if (!clips.some((one) => one.id === id)) return;
      clip.value = id;
      showChips();
    },
    /** Apply the settings of a recorded run, where available here, and start it. */
    again(run) {
      picks.forEach(([, node], i) => { node.value = policies.some((policy) => policy.name === run.policies[i]) ? run.policies[i] : ""; });
      if (budgets.includes(run.budget)) budget.value = String(run.budget);
      clip.value = run.clip;
      showChips();
      return start();
    },
    draw(next) {
      state = next;
      const wanted = mainAction(state.state);
      if (main.dataset.icon !== wanted.icon) main.replaceChildren(icon(wanted.icon), h("span", {}, wanted.label));
      setText(main.lastChild, wanted.label);
      main.dataset.icon = wanted.icon;
      main.disabled = state.state === "starting";
      end.disabled = !state.lanes.length;
      setText(line, liveLine(state));
      progress.firstChild.style.transform = `scaleX(${state.duration ? Math.min(1, (state.clock ?? 0) / state.duration) : 0})`;
      if (state.frame) picture.src = `data:image/jpeg;base64,${state.frame.jpeg}`;
      picture.hidden = !state.lanes.length || !picture.src;
      progress.hidden = !state.lanes.length;
      talk.hidden = !state.lanes.length;
      go.disabled = state.answering;
      record.draw(state, state.lanes.length > 0);
    },
  };
}
