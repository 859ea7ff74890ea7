// The token history of one frame: how many of its tokens each layer held over stream time, and for one layer the importance of
// each token at every eviction next to the lowest importance kept.
import { NO_SCORE, TIERS, fromBase64, layerNumber } from "./codec.js";
import { drawSwatch, evidenceSpans } from "./axis.js";
import { clock, count, whole } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { tickStep } from "./scales.js";

const TOP = 6;
const GAP = 58;
const CHART = 150;
const AXIS = 36;
const LINES = 64;

/** Decode the scores of a reply of kind "life". */
export function readHistory(reply) {
  return { ...reply, score: fromBase64(reply.score) };
}

/** Score of a patch at an eviction, 0 to 1; null if it was not held, not scored or not recorded. */
export function patchScore(history, moment, patch) {
  const raw = history.score[moment * history.patches + patch] ?? NO_SCORE;
  return raw === NO_SCORE ? null : (raw / 254) * (history.most ?? 1);
}

/** Top of the score axis: the largest recorded score, rounded up to 1, 2 or 5 times a power of ten. */
export function topScore(history) {
  let most = 0;
  for (const raw of history.score) if (raw !== NO_SCORE && raw > most) most = raw;
  const largest = Math.max((most / 254) * (history.most ?? 1), ...history.cut.map((cut) => cut ?? 0));
  if (!(largest > 0)) return 1;
  const place = 10 ** Math.floor(Math.log10(largest));
  return Number(([1, 2, 5, 10].find((step) => step * place >= largest * 0.999) * place).toPrecision(1));
}

/** Format a score with two decimals, or with two significant digits if it is small. */
export function scoreText(score) {
  return score === 0 || score >= 0.1 ? score.toFixed(2) : String(Number(score.toPrecision(2)));
}

/** Share of the frame's tokens that a layer held: [{seconds, share}], one step per change, starting when the frame was seen. */
export function heldSteps(history, layer, tokens) {
  const steps = [{ seconds: history.seen, share: history.missed ? (history.held[layer]?.[0] ?? 0) / tokens : 1 }];
  history.moments.forEach((seconds, m) => {
    const share = history.held[layer][m] / tokens;
    if (share !== steps[steps.length - 1].share) steps.push({ seconds, share });
  });
  return steps;
}

/** Geometry of the figure at a width. */
export function layoutHistory(width, { state, tokenHistory: history }) {
  const narrow = width < 620;
  const left = narrow ? 40 : 132;
  const row = Math.max(9, Math.min(20, Math.floor(240 / state.meta.layers)));
  const from = history.seen;
  const to = Math.max(history.now, from + 1e-3);
  const bottom = TOP + state.meta.layers * row;
  const plot = { left, width: width - left - 14 };
  const x = (seconds) => plot.left + ((seconds - from) / (to - from)) * plot.width;
  const chart = { top: bottom + GAP, height: CHART };
  const top = topScore(history);
  return { narrow, ...plot, row, from, to, x, bottom, chart, top, y: (score) => chart.top + (1 - score / top) * chart.height, height: chart.top + CHART + AXIS };
}

/** Layer and moment under a point, or null. */
export function hitHistory(layout, { state, tokenHistory: history }, px, py) {
  const layer = py >= TOP && py < layout.bottom ? Math.floor((py - TOP) / layout.row) : null;
  let moment = -1;
  history.moments.forEach((seconds, m) => { if (layout.x(seconds) <= px + 3) moment = m; });
  if (px < layout.left - 30 || px > layout.left + layout.width + 8) return null;
  if (layer === null && (py < layout.chart.top || py > layout.chart.top + CHART)) return null;
  return { layer: layer === null ? history.layer : Math.min(layer, state.meta.layers - 1), moment };
}

/** Tooltip of an eviction in a layer. */
export function describeMoment(state, history, { layer, moment }, patch) {
  const per = state.meta.tokens_per_frame;
  if (moment < 0) return { title: `Seen at ${clock(history.seen, true)}`, lines: [`Layer ${layerNumber(state.meta, layer)} received all ${count(per, "token")}`] };
  const lines = [`Layer ${layerNumber(state.meta, layer)} · ${TIERS[state.meta.tiers[layer]]} still held ${history.held[layer][moment]} of ${count(per, "token")}`];
  if (layer === history.layer) {
    const cut = history.cut[moment];
    if (cut !== null) lines.push(`lowest importance kept: ${scoreText(cut)}`);
    const score = patch === null || patch === undefined ? null : patchScore(history, moment, patch);
    if (score !== null) lines.push(`importance of the selected token: ${scoreText(score)}`);
  }
  return { title: `Eviction at ${clock(history.moments[moment], true)}`, lines };
}

/** Whether a frame is part of the evidence of the last answer. */
export function isEvidence(state, frame) {
  return evidenceSpans(state).some(([first, stop]) => frame >= first && frame < stop);
}

/** Draw the ribbons, the scores and the time axes; the ribbons are outlined if the frame is evidence of the last answer. */
export function drawHistory(ctx, layout, view) {
  drawRibbons(ctx, layout, view);
  if (isEvidence(view.state, view.tokenHistory.frame)) {
    ctx.strokeStyle = rgba(view.palette.read, 1);
    ctx.lineWidth = 1.5;
    ctx.strokeRect(layout.left - 1, TOP - 2, layout.width + 2, layout.bottom - TOP + 4);
  }
  drawScores(ctx, layout, view);
  drawTime(ctx, layout, view);
}

function drawRibbons(ctx, { left, width, row, x, to, narrow }, { state, tokenHistory: history, palette, ratio }) {
  const per = state.meta.tokens_per_frame;
  ctx.textBaseline = "middle";
  for (let layer = 0; layer < state.meta.layers; layer += 1) {
    const middle = TOP + layer * row + row / 2;
    const on = layer === history.layer;
    if (on) {
      ctx.fillStyle = rgba(palette.focus, 0.1);
      ctx.fillRect(left, TOP + layer * row, width, row);
    }
    ctx.font = `${on ? 650 : 500} 11px ${palette.font}`;
    ctx.fillStyle = rgba(on ? palette.ink : palette.quiet, 1);
    ctx.textAlign = "right";
    if (row >= 11 || on) ctx.fillText(narrow ? `${layerNumber(state.meta, layer)}` : `layer ${layerNumber(state.meta, layer)}`, left - 12, middle);
    ctx.fillStyle = rgba(palette.ink, 0.08);
    ctx.fillRect(left, middle, width, 1);
    const steps = history.untold && !history.moments.length ? [] : heldSteps(history, layer, per);
    steps.forEach(({ seconds, share }, i) => {
      const end = i + 1 < steps.length ? steps[i + 1].seconds : to;
      const tall = share > 0 ? Math.max(2, share * (row - 3)) : 0;
      if (tall) drawSwatch(ctx, state.meta.tiers[layer], palette, ratio, x(seconds), middle - tall / 2, Math.max(1, x(end) - x(seconds)), tall);
    });
    for (const merge of history.merges.filter((one) => one.layer === layer)) {
      const at = x(merge.seconds);
      ctx.fillStyle = rgba(palette.ink, 0.9);
      ctx.beginPath();
      ctx.moveTo(at - 4, middle - 4);
      ctx.lineTo(at + 4, middle - 4);
      ctx.lineTo(at, middle + 4);
      ctx.closePath();
      ctx.fill();
    }
  }
}

/** Patches whose scores are drawn: at most about `LINES`, evenly spaced, and the selected one. */
function drawnPatches(history, chosen) {
  const step = Math.max(1, Math.ceil(history.patches / LINES));
  return [...Array(history.patches).keys()].filter((patch) => patch === chosen || patch % step === 0);
}

function drawScores(ctx, { left, width, x, y, chart, top }, { state, tokenHistory: history, palette, selected }) {
  ctx.font = `500 11px ${palette.font}`;
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  const what = width < 420 ? "importance in" : "importance of the frame’s tokens in";
  ctx.fillText(`${what} layer ${layerNumber(state.meta, history.layer)} at each eviction`, left, chart.top - 14);
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const score of [0, top / 2, top]) {
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(left, y(score), width, 1);
    ctx.fillStyle = rgba(palette.quiet, 1);
    ctx.fillText(String(Number(score.toPrecision(2))), left - 10, y(score));
  }
  const colour = palette.tiers[state.meta.tiers[history.layer]];
  for (const patch of drawnPatches(history, selected?.patch)) {
    const chosen = selected?.patch === patch;
    drawScoreLine(ctx, { x, y, history, patch, colour: chosen ? palette.focus : colour, chosen });
  }
  ctx.fillStyle = rgba(palette.danger, 1);
  let last = null;
  history.moments.forEach((seconds, m) => {
    const cut = history.cut[m];
    if (cut === null) return;
    ctx.fillRect(x(seconds) - 5, y(cut) - 0.75, 10, 1.75);
    last = { at: x(seconds), y: y(cut) };
  });
  if (last) {
    ctx.textAlign = "right";
    ctx.fillText("lowest importance kept", Math.min(last.at, left + width), Math.max(last.y - 10, chart.top + 6));
  }
}

function drawScoreLine(ctx, { x, y, history, patch, colour, chosen }) {
  ctx.strokeStyle = rgba(colour, chosen ? 1 : 0.45);
  ctx.fillStyle = rgba(colour, chosen ? 1 : 0.7);
  ctx.lineWidth = chosen ? 2.5 : 1;
  let drawing = false;
  let end = null;
  ctx.beginPath();
  history.moments.forEach((seconds, m) => {
    const score = patchScore(history, m, patch);
    if (score === null) {
      drawing = false;
      return;
    }
    end = [x(seconds), y(score)];
    if (drawing) ctx.lineTo(...end);
    else ctx.moveTo(...end);
    drawing = true;
  });
  ctx.stroke();
  if (!end) return;
  if (history.left[patch] === null) {
    ctx.fillRect(end[0] - 1.5, end[1] - 1.5, 3, 3);
    return;
  }
  ctx.beginPath(); // a cross at its eviction
  ctx.moveTo(end[0] - 3, end[1] - 3);
  ctx.lineTo(end[0] + 3, end[1] + 3);
  ctx.moveTo(end[0] + 3, end[1] - 3);
  ctx.lineTo(end[0] - 3, end[1] + 3);
  ctx.stroke();
}

function drawTime(ctx, { left, width, x, from, to, chart, bottom, narrow }, { palette }) {
  const step = tickStep(to - from, narrow ? 4 : 9);
  ctx.font = `500 11px ${palette.font}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  for (let s = Math.ceil(from / step) * step; s <= to; s += step) {
    for (const y of [bottom, chart.top + CHART]) {
      ctx.fillStyle = rgba(palette.line, 1);
      ctx.fillRect(x(s), y, 1, 6);
      ctx.fillStyle = rgba(palette.quiet, 1);
      if (x(s) < left + width - 26) ctx.fillText(clock(s), x(s) + 4, y + 4);
    }
  }
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.fillText("stream time →", left, chart.top + CHART + 20);
}

/** Mark the eviction under the pointer. */
export function markHistory(ctx, { x, row, left, width, chart, bottom }, { tokenHistory: history, palette, hoverMoment }) {
  if (!hoverMoment) return;
  const at = hoverMoment.moment < 0 ? x(history.seen) : x(history.moments[hoverMoment.moment]);
  ctx.fillStyle = rgba(palette.ink, 0.35);
  ctx.fillRect(at - 0.5, TOP, 1, bottom - TOP);
  ctx.fillRect(at - 0.5, chart.top, 1, chart.height);
  ctx.strokeStyle = rgba(palette.ink, 0.7);
  ctx.lineWidth = 1;
  ctx.strokeRect(left, TOP + hoverMoment.layer * row, width, row);
}

/** The token history in sentences. */
export function describeHistory(state, history) {
  const { meta } = state;
  const per = meta.tokens_per_frame;
  const lines = [`Frame ${history.frame + 1} was seen at ${clock(history.seen, true)} as ${count(per, "token")} in each of ${meta.layers} layers.`];
  if (isEvidence(state, history.frame)) lines.push("It is part of the evidence of the last answer (outlined).");
  if (!history.moments.length && history.untold) {
    return [...lines, `${count(history.untold, "eviction")} since then, but this policy does not record evictions per token. The view of the opened frame shows which patches are held now.`];
  }
  if (!history.moments.length) return [...lines, "No evictions since then: every layer still holds all its tokens."];
  const end = history.moments.length - 1;
  const now = history.held.map((row) => row[end]);
  for (const group of meta.groups) {
    const counts = now.filter((_, layer) => meta.tiers[layer] === group);
    const sum = counts.reduce((a, b) => a + b, 0);
    const name = group === 3 ? "The layers" : `${TIERS[group][0].toUpperCase()}${TIERS[group].slice(1)} memory`;
    const verb = group === 3 ? "hold" : "holds";
    const total = whole(counts.length * per);
    lines.push(sum ? `${name} still ${verb} ${whole(sum)} of ${total} tokens, in ${count(counts.filter(Boolean).length, "layer")} of ${counts.length}.`
      : `${name} ${group === 3 ? "have" : "has"} evicted all ${total} tokens.`);
  }
  if (history.of > history.moments.length) lines.push(`${whole(history.moments.length)} of ${whole(history.of)} evictions are shown, evenly spaced.`);
  if (history.untold) lines.push(`${count(history.untold, "eviction")} ${history.untold === 1 ? "was" : "were"} not recorded per token.`);
  if (history.thinned) lines.push(`For ${count(history.thinned, "older eviction")}, only the evicted tokens are still recorded, without scores: the records of a live stream are limited to 8 MB.`);
  if (history.missed) lines.push("The records of the first evictions are no longer available (those of a live stream are limited to 8 MB); tokens evicted then are shown as missing from the start.");
  return lines;
}

/** Merges of the frame's tokens into summary tokens, in sentences; the largest first. */
export function describeMerges(history, meta, most = 6) {
  return [...history.merges].sort((a, b) => b.tokens - a.tokens || a.seconds - b.seconds).slice(0, most).map((merge) => {
    const head = `Layer ${layerNumber(meta, merge.layer)}: ${count(merge.tokens, "token")} merged into the summary token of ${clock(merge.seconds, true)}`;
    const next = merge.summaries.length ? `, which was merged into that of ${clock(merge.summaries[merge.summaries.length - 1], true)}` : "";
    return `${head}${next}${merge.held ? ". It is still held." : ". It was evicted later."}`;
  });
}

/** The token history as a table, one row per eviction: tokens held per layer, and the scores in the selected layer. */
export function tableHistory({ state, tokenHistory: history, selected }) {
  if (!history) return { head: [], rows: [] };
  const layers = [...Array(state.meta.layers).keys()];
  const drawn = drawnPatches(history, selected?.patch);
  const rows = history.moments.map((seconds, m) => [clock(seconds, true), ...layers.map((layer) => `${history.held[layer][m]}`),
    history.cut[m] === null ? "" : scoreText(history.cut[m]), ...drawn.map((patch) => (patchScore(history, m, patch) === null ? "" : scoreText(patchScore(history, m, patch))))]);
  const [, columns] = state.meta.grid;
  return {
    caption: `Tokens of the frame held after each eviction; then the importance of each patch (row, column) in layer ${layerNumber(state.meta, history.layer)}`,
    head: ["Eviction at", ...layers.map((layer) => `Layer ${layerNumber(state.meta, layer)}: held`), `Lowest importance kept, layer ${layerNumber(state.meta, history.layer)}`,
      ...drawn.map((patch) => `${Math.floor(patch / columns) + 1}, ${(patch % columns) + 1}`)],
    rows,
  };
}
