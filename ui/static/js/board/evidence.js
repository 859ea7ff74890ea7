// The fate of the evidence: why the last answer was right or wrong. Was what it rests on sampled, is it still held, was it
// attended to? The verdict itself comes from the server (hermes/fate.py); here it is told.
import { TIERS } from "./codec.js";
import { h, setText } from "../shared/dom.js";
import { clock, percent } from "../shared/format.js";

const TITLES = {
  read: "Held and attended", unread: "Held, but not attended", evicted: "Sampled, then evicted",
  "not retrieved": "Stored, but not retrieved", "not sampled": "Not sampled",
  absent: "Nothing to point at", unknown: "No verdict",
};
const DEPTHS = ["shallow", "middle", "deep"]; // what the tiers' layers are called where a policy treats them all alike
const MARKS = { yes: "✓", no: "✗", open: "–" };

/** The verdict in a few words, such as "Held and attended". Pure. */
export function titleOf(fate) {
  return TITLES[fate.outcome] ?? "No verdict";
}

/** How much more a token of the evidence got than another: "144 times", "only its tokens", or "" where none is held. Pure. */
export function liftWords(lift) {
  if (lift === null || lift === undefined) return "";
  if (lift === "all") return "nothing else held";
  return `${lift >= 10 ? Math.round(lift) : lift.toFixed(1)} times`;
}

/** The largest lift of all tiers, or null. Pure. */
export function bestLift(tiers) {
  const known = tiers.map((tier) => tier.lift).filter((lift) => lift !== null);
  if (!known.length) return null;
  return known.includes("all") ? "all" : Math.max(...known);
}

/** The four questions on the way of the evidence, each {name, state, note}; state is "yes", "no" or "open". Pure. */
export function gates(fate) {
  const passed = { "not sampled": 0, evicted: 1, "not retrieved": 1, unread: 2, read: 3 }[fate.outcome];
  const state = (at) => (passed === undefined ? "open" : at < passed ? "yes" : at === passed ? "no" : "open");
  const note = (at, yes, no) => ({ yes, no, open: "" })[state(at)];
  const times = liftWords(bestLift(fate.tiers));
  const right = fate.right === null ? "open" : fate.right ? "yes" : "no";
  return [
    { name: "Sampled", state: state(0), note: note(0, `${fate.sampled} ${fate.sampled === 1 ? "frame" : "frames"}`, "no frame shows it") },
    { name: "Still held", state: state(1), note: note(1, fate.held_in, fate.outcome === "not retrieved" ? "stored, but not read" : "less than a token a frame") },
    { name: "Attended", state: state(2), note: note(2, times, times ? `${times}; ${fate.needed} are needed` : "") },
    { name: "Answered right", state: right, note: { yes: "", no: fate.truth ? `true: ${fate.truth}` : "", open: "nobody knows" }[right] },
  ];
}

/** Build the section. Returns {node, show(answer)}; `bus` takes people to a moment. */
export function makeFate(bus) {
  const asked = h("p", { class: "hl-quote" });
  const badge = h("span", { class: "hl-right" });
  const title = h("strong", { class: "hl-fate-title" });
  const steps = h("ol", { class: "hl-gates", "aria-label": "What became of the evidence" });
  const sentence = h("p", { class: "hl-fate-sentence" });
  const evidence = h("ul", { class: "hl-peaks", "aria-label": "Frames that show the evidence" });
  const evidenceHead = h("h4", {}, "The evidence");
  const rows = h("tbody");
  const note = h("p", { class: "hl-caption" });
  const empty = h("p", { class: "hl-figure-empty is-flat" }, "Ask something: this will say whether the answer is true, and where its evidence got lost or was found.");
  const table = h("table", { class: "hl-fate-tiers" },
    h("caption", { class: "hl-hidden" }, "The evidence in each tier of the memory when the question was asked"),
    h("thead", {}, h("tr", {}, ["Tier", "Evidence still held", "Attention on it", "Frames read most"].map((name) => h("th", { scope: "col" }, name)))), rows);
  const body = h("div", { class: "hl-fate", hidden: true },
    h("div", { class: "hl-verdict" }, badge, h("div", {}, title, asked)), steps, sentence,
    h("div", { class: "hl-fate-evidence" }, evidenceHead, evidence), table, note);
  const node = h("figure", { class: "hl-figure" },
    h("figcaption", {}, h("div", { class: "hl-figure-head" }, h("h3", {}, "The fate of the evidence")),
      h("p", {}, "The evidence is the moment that the true answer rests on. Follow it: was it sampled, is it still held, did the answer attend to it?")),
    empty, body);

  bus.on("why", () => node.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }));
  const goto = (seconds) => bus.say("goto", seconds);
  const picture = ({ seconds, jpeg }, share = null) => h("li", {}, h("button", { type: "button", title: "Show it on the board", onclick: () => goto(seconds) },
    jpeg ? h("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `Frame at ${clock(seconds, true)}` }) : h("span", { class: "hl-clip-blank" }),
    share === null ? null : h("strong", {}, percent(share)), h("span", {}, clock(seconds, true))));

  function row(tier, tiered) {
    const held = tier.held === null ? "–" : bar("held", tier.held, `${percent(tier.held)} of its tokens`);
    const lift = liftWords(tier.lift);
    const words = tier.attention === null || !lift ? "–" : bar("read", tier.attention, `${percent(tier.attention)}${lift === "nothing else held" ? "" : ` · ${lift} another’s`}`, tier.even);
    const name = tiered ? TIERS[tier.tier] : `${DEPTHS[tier.tier]} layers`;
    return h("tr", { class: tier.attends ? "is-attending" : null },
      h("th", { scope: "row" }, h("span", { class: `hl-swatch hl-swatch-${tiered ? tier.tier : 3}` }),
        h("span", {}, name[0].toUpperCase() + name.slice(1), h("small", {}, tier.layers))),
      h("td", { "data-label": "Evidence still held" }, held), h("td", { "data-label": "Attention on it" }, words),
      h("td", { "data-label": "Frames read most" }, tier.peaks.length
        ? h("ul", { class: "hl-peaks is-small", "aria-label": `Frames that the ${name}${tiered ? " tier" : ""} read most` }, tier.peaks.map((peak) => picture(peak, peak.share)))
        : "none"));
  }

  return {
    node,
    show(answer) {
      const fate = answer?.fate;
      empty.hidden = Boolean(fate);
      body.hidden = !fate;
      if (!fate) return;
      bus.say("fate", answer);
      const right = fate.right === null ? "unknown" : fate.right ? "right" : "wrong";
      badge.dataset.right = right;
      badge.replaceChildren(h("b", { "aria-hidden": "true" }, { right: "✓", wrong: "✗", unknown: "?" }[right]), h("span", {}, { right: "Right", wrong: "Wrong", unknown: "Unknown" }[right]));
      setText(title, titleOf(fate));
      asked.replaceChildren(`${answer.question} `, h("strong", {}, answer.answer || "(no answer)"),
        ...(fate.right === false ? [" True: ", h("strong", {}, fate.truth)] : []));
      steps.replaceChildren(...gates(fate).map(({ name, state, note: words }) => h("li", { "data-state": state },
        h("b", { "aria-hidden": "true" }, MARKS[state]), h("span", {}, name, h("span", { class: "hl-hidden" }, { yes: ": yes.", no: ": no.", open: ": not known." }[state])), h("small", {}, words || " "))));
      setText(sentence, fate.sentence);
      const known = fate.moments.length > 0;
      steps.hidden = fate.outcome === "unknown";
      evidenceHead.parentElement.hidden = !known;
      setText(evidenceHead, `The evidence: ${fate.moments.map((m) => `${clock(m.start, true)}–${clock(m.end, true)}`).join(", ")}${fate.more ? ` and ${fate.more} more` : ""}`);
      evidence.replaceChildren(...fate.frames.map((frame) => picture(frame)));
      rows.replaceChildren(...fate.tiers.map((tier) => row(tier, fate.tiered)));
      setText(note, known
        ? `The tick in a bar is an even look: the share that the evidence had got if attention were spread evenly over all frame tokens held. We call the evidence held while some layer keeps at least one token a frame of it (or reads as much of it from an archive), and attended where one of its tokens gets ${fate.needed} times the attention of another. Both limits are ours, not the paper’s.`
        : "What each tier read most while it answered.");
    },
  };
}

function bar(kind, share, words, tick = null) {
  const inside = h("i");
  inside.hidden = !(share > 0);
  inside.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const mark = tick === null ? null : h("s", { "aria-hidden": "true" });
  if (mark) mark.style.left = `${Math.max(0, Math.min(1, tick)) * 100}%`;
  return h("div", { class: `hl-share hl-share-${kind}` }, h("div", { class: "hl-share-bar", "aria-hidden": "true" }, inside, mark), h("span", {}, words));
}
