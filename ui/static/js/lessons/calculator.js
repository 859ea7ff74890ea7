// The cache calculator: the size of a cache, and when it fills this computer's memory.
import { h, setText } from "../shared/dom.js";
import { bytes, percent, whole } from "../shared/format.js";

/** Bytes of a cache, and seconds until it fills `memory`. `model`: {bytes_per_token: {dtype: bytes}}, or, for a model with a
    state of constant size, {state_bytes: {dtype: bytes}}. Pure. */
export function cacheCost(model, { dtype, tokens, minutes, fps }, memory) {
  const frames = Math.floor(minutes * 60 * fps);
  if (model.state_bytes) {
    const state = model.state_bytes[dtype];
    return { frames, tokens: frames * tokens, bytes: state, share: state / memory, fullAfter: Infinity };
  }
  const perSecond = model.bytes_per_token[dtype] * tokens * fps;
  const total = model.bytes_per_token[dtype] * tokens * frames;
  return { frames, tokens: frames * tokens, bytes: total, share: total / memory, fullAfter: memory / perSecond };
}

/** Format a duration: "40 minutes", "2 hours 5 minutes", "3 days". Pure. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "never";
  const minutes = Math.round(seconds / 60);
  if (seconds < 59.5) return `${Math.max(1, Math.round(seconds))} seconds`;
  if (minutes < 60) return `${minutes} minute${minutes === 1 ? "" : "s"}`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${whole(hours / 24)} days`;
  const rest = minutes % 60;
  return `${hours} hour${hours === 1 ? "" : "s"}${rest ? ` ${rest} minute${rest === 1 ? "" : "s"}` : ""}`;
}

let made = 0;

/** Build a calculator for `memory` bytes and a list of models. `initial`: {model, minutes, fps}. Returns its root element. */
export function makeCalculator({ memory, models }, initial = {}) {
  made += 1;
  const chosen = models.find((model) => model.id === initial.model) ?? models[0];
  const name = (part) => `hl-calc-${part}-${made}`;
  const field = (part, label, control) => h("div", { class: "hl-calc-field" }, h("label", { for: name(part) }, label), control);
  const model = h("select", { id: name("model") }, models.map((item) => h("option", { value: item.id, selected: item === chosen }, item.title)));
  const dtype = h("select", { id: name("dtype") }, Object.keys(chosen.bytes_per_token ?? chosen.state_bytes).map((type) => h("option", { value: type, selected: type === chosen.dtype }, type)));
  const tokens = h("input", { id: name("tokens"), type: "number", min: "1", max: "4096", step: "1", value: String(chosen.tokens_per_frame) });
  const fps = h("input", { id: name("fps"), type: "number", min: "0.1", max: "30", step: "0.1", value: String(initial.fps ?? 1) });
  const minutes = h("input", { id: name("minutes"), type: "range", min: "1", max: "1440", step: "1", value: String(initial.minutes ?? 60) });
  const length = h("output", { for: name("minutes") });
  const note = h("p", { class: "hl-caption" });
  const total = h("strong", { class: "hl-calc-total" });
  const detail = h("p", {});
  const bar = h("div", { class: "hl-calc-bar", role: "img" }, h("i"));
  const result = h("div", { class: "hl-calc-result", role: "status" }, total, bar, detail);

  function draw() {
    const known = models.find((item) => item.id === model.value);
    const clamp = (node, low, high) => Math.min(high, Math.max(low, Number(node.value) || low));
    const given = { dtype: dtype.value, tokens: clamp(tokens, 1, 4096), minutes: Number(minutes.value), fps: clamp(fps, 0.1, 30) };
    const cost = cacheCost(known, given, memory);
    setText(length, span(given.minutes * 60));
    setText(note, known.note);
    setText(total, bytes(cost.bytes));
    bar.firstChild.style.transform = `scaleX(${Math.min(1, cost.share)})`;
    bar.classList.toggle("is-over", cost.share > 1);
    bar.setAttribute("aria-label", `${percent(Math.min(1, cost.share))} of this computer’s memory`);
    if (known.state_bytes) {
      setText(detail, `${whole(cost.frames)} frames, ${whole(cost.tokens)} tokens, merged into a state of ${bytes(cost.bytes)}, whose size is constant.`);
      return;
    }
    setText(detail, `${whole(cost.frames)} frames, ${whole(cost.tokens)} tokens of ${bytes(known.bytes_per_token[given.dtype])} each. `
      + (cost.share > 1 ? `More than this computer’s ${bytes(memory)} of memory, which is full after ${span(cost.fullAfter)}.` : `${percent(cost.share)} of this computer’s ${bytes(memory)} of memory, which is full after ${span(cost.fullAfter)}.`));
  }

  model.addEventListener("change", () => {
    const known = models.find((item) => item.id === model.value);
    tokens.value = String(known.tokens_per_frame);
    dtype.value = known.dtype;
    draw();
  });
  for (const node of [dtype, tokens, fps, minutes]) node.addEventListener("input", draw);
  draw();
  return h("div", { class: "hl-calc", role: "group", "aria-label": "Cache calculator" },
    field("model", "Model", model), note,
    h("div", { class: "hl-calc-pair" }, field("tokens", "Tokens per frame", tokens), field("fps", "Frames per second", fps)),
    field("dtype", "Data type", dtype),
    h("div", { class: "hl-calc-field" }, h("div", { class: "hl-calc-label" }, h("label", { for: name("minutes") }, "Length of the stream"), length), minutes),
    result);
}

