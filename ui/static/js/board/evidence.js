// Why the last answer was right or wrong: whether its evidence was sampled, is still kept, and was used. The server computes the
// verdict; this module shows it.
import { TIERS } from "./codec.js";
import { h, setText } from "../shared/dom.js";
import { clock, count, percent } from "../shared/format.js";

const TITLES = {
  read: "Kept and used", unread: "Kept, but not used", evicted: "Seen, then forgotten",
  "not retrieved": "Stored, but not retrieved", "not sampled": "Never sampled",
  absent: "No evidence to look for", unknown: "No reference answer",
};
const DEPTHS = ["shallow", "middle", "deep"]; // names of the tiers' layers for policies without tiers
const MARKS = { yes: "✓", no: "✗", open: "–" };

/** Short title of a verdict, such as "Kept and used". Pure. */
export function titleOf(verdict) {
  return TITLES[verdict.outcome] ?? TITLES.unknown;
}

/** Attention per token of the evidence relative to other tokens, such as "144×"; "" if no evidence is kept. Pure. */
export function ratioText(ratio) {
  if (ratio === null || ratio === undefined) return "";
  if (ratio === "all") return "only evidence is kept";
  return `${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)}×`;
}

/** The largest attention ratio of all tiers, or null. Pure. */
export function bestRatio(tiers) {
  const known = tiers.map((tier) => tier.lift).filter((ratio) => ratio !== null);
  if (!known.length) return null;
  return known.includes("all") ? "all" : Math.max(...known);
}

/** The four steps from the evidence to the answer, each {name, state, note}; state is "yes", "no" or "open". Pure. */
export function steps(verdict) {
  const passed = { "not sampled": 0, evicted: 1, "not retrieved": 1, unread: 2, read: 3 }[verdict.outcome];
  const state = (at) => (passed === undefined ? "open" : at < passed ? "yes" : at === passed ? "no" : "open");
  const note = (at, yes, no) => ({ yes, no, open: "" })[state(at)];
  const ratio = ratioText(bestRatio(verdict.tiers));
  const right = verdict.right === null ? "open" : verdict.right ? "yes" : "no";
  return [
    { name: "Sampled", state: state(0), note: note(0, count(verdict.sampled, "frame"), "no frame shows it") },
    { name: "Still kept", state: state(1), note: note(1, verdict.held_in, verdict.outcome === "not retrieved" ? "stored, but not read" : "less than one token per frame") },
    { name: "Used", state: state(2), note: note(2, ratio, ratio ? `${ratio}; the threshold is ${verdict.needed}×` : "") },
    { name: "Answered correctly", state: right, note: { yes: "", no: verdict.truth ? `correct: ${verdict.truth}` : "", open: "no reference answer" }[right] },
  ];
}

/** Build the section. Returns {node, show(answer)}; clicks on frames seek through `bus`. */
export function makeEvidence(bus) {
  const asked = h("p", { class: "hl-quote" });
  const badge = h("span", { class: "hl-right" });
  const title = h("strong", { class: "hl-evidence-title" });
  const list = h("ol", { class: "hl-steps", "aria-label": "Steps from the evidence to the answer" });
  const sentence = h("p", { class: "hl-evidence-sentence" });
  const evidence = h("ul", { class: "hl-peaks", "aria-label": "Frames that show the evidence" });
  const evidenceHead = h("h4", {}, "The evidence");
  const rows = h("tbody");
  const note = h("p", { class: "hl-caption" });
  const empty = h("p", { class: "hl-figure-empty is-flat" }, "Ask a question. This shows whether the answer is correct and whether its evidence was kept and used.");
  const table = h("table", { class: "hl-evidence-tiers" },
    h("caption", { class: "hl-hidden" }, "The evidence in each tier when the question was asked"),
    h("thead", {}, h("tr", {}, ["Tier", "Evidence still kept", "Attention on it", "Most attended frames"].map((name) => h("th", { scope: "col" }, name)))), rows);
  const body = h("div", { class: "hl-evidence", hidden: true },
    h("div", { class: "hl-verdict" }, badge, h("div", {}, title, asked)), list, sentence,
    h("div", { class: "hl-evidence-frames" }, evidenceHead, evidence), table, note);
  const node = h("figure", { class: "hl-figure" },
    h("figcaption", {}, h("div", { class: "hl-figure-head" }, h("h3", {}, "Why this answer was right or wrong")),
      h("p", {}, "The evidence is the part of the video that shows the correct answer. Was it sampled, is it still kept, and did the answer use it?")),
    empty, body);

  const goto = (seconds) => bus.publish("goto", seconds);
  const picture = ({ seconds, jpeg }, share = null) => h("li", {}, h("button", { type: "button", title: "Show it on the board", onclick: () => goto(seconds) },
    jpeg ? h("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `Frame at ${clock(seconds, true)}` }) : h("span", { class: "hl-clip-blank" }),
    share === null ? null : h("strong", {}, percent(share)), h("span", {}, clock(seconds, true))));

  function row(tier, tiered) {
    const kept = tier.held === null ? "–" : bar("held", tier.held, `${percent(tier.held)} of its tokens`);
    const ratio = ratioText(tier.lift);
    const attention = tier.attention === null || !ratio ? "–"
      : bar("read", tier.attention, `${percent(tier.attention)}${tier.lift === "all" ? "" : ` · ${ratio} a typical token`}`, tier.even);
    const name = tiered ? TIERS[tier.tier] : `${DEPTHS[tier.tier]} layers`;
    return h("tr", { class: tier.attends ? "is-attending" : null },
      h("th", { scope: "row" }, h("span", { class: `hl-swatch hl-swatch-${tiered ? tier.tier : 3}` }),
        h("span", {}, name[0].toUpperCase() + name.slice(1), h("small", {}, tier.layers))),
      h("td", { "data-label": "Evidence still kept" }, kept), h("td", { "data-label": "Attention on it" }, attention),
      h("td", { "data-label": "Most attended frames" }, tier.peaks.length
        ? h("ul", { class: "hl-peaks is-small", "aria-label": `Most attended frames, ${name}${tiered ? " tier" : ""}` }, tier.peaks.map((peak) => picture(peak, peak.share)))
        : "none"));
  }

  return {
    node,
    show(answer) {
      const verdict = answer?.verdict;
      empty.hidden = Boolean(verdict);
      body.hidden = !verdict;
      if (!verdict) return;
      bus.publish("verdict", answer);
      const right = verdict.right === null ? "unknown" : verdict.right ? "right" : "wrong";
      badge.dataset.right = right;
      badge.replaceChildren(h("b", { "aria-hidden": "true" }, { right: "✓", wrong: "✗", unknown: "?" }[right]), h("span", {}, { right: "Right", wrong: "Wrong", unknown: "Not scored" }[right]));
      setText(title, titleOf(verdict));
      asked.replaceChildren(`${answer.question} `, h("strong", {}, answer.answer || "(no answer)"),
        ...(verdict.right === false ? [" Correct: ", h("strong", {}, verdict.truth)] : []));
      list.replaceChildren(...steps(verdict).map(({ name, state, note: detail }) => h("li", { "data-state": state },
        h("b", { "aria-hidden": "true" }, MARKS[state]), h("span", {}, name, h("span", { class: "hl-hidden" }, { yes: ": yes.", no: ": no.", open: ": unknown." }[state])), h("small", {}, detail || " "))));
      setText(sentence, verdict.sentence);
      const known = verdict.moments.length > 0;
      list.hidden = ["unknown", "absent"].includes(verdict.outcome); // no evidence to follow
      evidenceHead.parentElement.hidden = !known;
      setText(evidenceHead, `The evidence: ${verdict.moments.map((m) => `${clock(m.start, true)}–${clock(m.end, true)}`).join(", ")}${verdict.more ? ` and ${verdict.more} more` : ""}`);
      evidence.replaceChildren(...verdict.frames.map((frame) => picture(frame)));
      rows.replaceChildren(...verdict.tiers.map((tier) => row(tier, verdict.tiered)));
      setText(note, known
        ? `The tick marks uniform attention: the share that the evidence would get if all frame tokens in the cache got the same attention. Evidence counts as kept while a layer holds (or reads from an archive) at least one token per frame of it, and as used if one of its tokens gets ${verdict.needed}× the attention of a typical token. Both thresholds are choices of this page, not of the paper.`
        : "The most attended frames of each tier while answering.");
    },
  };
}

function bar(kind, share, text, tick = null) {
  const inside = h("i");
  inside.hidden = !(share > 0);
  inside.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const mark = tick === null ? null : h("s", { "aria-hidden": "true" });
  if (mark) mark.style.left = `${Math.max(0, Math.min(1, tick)) * 100}%`;
  return h("div", { class: `hl-share hl-share-${kind}` }, h("div", { class: "hl-share-bar", "aria-hidden": "true" }, inside, mark), h("span", {}, text));
}
