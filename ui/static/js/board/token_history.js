// The life of one frame: what every layer held of it over stream time, and in one layer the score of its tokens at each
// eviction against the lowest score that was kept.
import { NO_SCORE, TIERS, fromBase64 } from "./codec.js";
import { drawSwatch } from "./axis.js";
import { clock, count, whole } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { tickStep } from "./scales.js";

const TOP = 6;
const GAP = 58;
const CHART = 150;
const AXIS = 36;
const LINES = 64;

/** A reply of kind "life" with its scores unpacked. */
export function readLife(reply) {
  return { ...reply, score: fromBase64(reply.score) };
}

/** Score of a patch at a moment, 0 to 1; null: not held, no score, or not kept on record. */
export function lifeScore(life, moment, patch) {
  const raw = life.score[moment * life.patches + patch] ?? NO_SCORE;
  return raw === NO_SCORE ? null : (raw / 254) * (life.most ?? 1);
}

/** Top of the score axis: the largest score on record, up to the next 1, 2 or 5 of its decimal place. */
export function topScore(life) {
  let most = 0;
  for (const raw of life.score) if (raw !== NO_SCORE && raw > most) most = raw;
  const largest = Math.max((most / 254) * (life.most ?? 1), ...life.cut.map((cut) => cut ?? 0));
  if (!(largest > 0)) return 1;
  const place = 10 ** Math.floor(Math.log10(largest));
  return Number(([1, 2, 5, 10].find((step) => step * place >= largest * 0.999) * place).toPrecision(1));
}

/** A score in writing: two decimals, or two figures where it is small. */
export function scoreText(score) {
  return score === 0 || score >= 0.1 ? score.toFixed(2) : String(Number(score.toPrecision(2)));
}

/** Share of the frame that a layer held: [{seconds, share}], a step where it changed, beginning when it was seen. */
export function heldSteps(life, layer, tokens) {
  const steps = [{ seconds: life.seen, share: life.missed ? (life.held[layer]?.[0] ?? 0) / tokens : 1 }];
  life.moments.forEach((seconds, m) => {
    const share = life.held[layer][m] / tokens;
    if (share !== steps[steps.length - 1].share) steps.push({ seconds, share });
  });
  return steps;
}

/** Geometry of the figure at a width. */
export function layoutLife(width, { state, life }) {
  const narrow = width < 620;
  const left = narrow ? 40 : 132;
  const row = Math.max(9, Math.min(20, Math.floor(240 / state.meta.layers)));
  const from = life.seen;
  const to = Math.max(life.now, from + 1e-3);
  const bottom = TOP + state.meta.layers * row;
  const plot = { left, width: width - left - 14 };
  const x = (seconds) => plot.left + ((seconds - from) / (to - from)) * plot.width;
  const chart = { top: bottom + GAP, height: CHART };
  const top = topScore(life);
  return { narrow, ...plot, row, from, to, x, bottom, chart, top, y: (score) => chart.top + (1 - score / top) * chart.height, height: chart.top + CHART + AXIS };
}

/** Layer and moment under a point, or null. */
export function hitLife(layout, { state, life }, px, py) {
  const layer = py >= TOP && py < layout.bottom ? Math.floor((py - TOP) / layout.row) : null;
  let moment = -1;
  life.moments.forEach((seconds, m) => { if (layout.x(seconds) <= px + 3) moment = m; });
  if (px < layout.left - 30 || px > layout.left + layout.width + 8) return null;
  if (layer === null && (py < layout.chart.top || py > layout.chart.top + CHART)) return null;
  return { layer: layer === null ? life.layer : Math.min(layer, state.meta.layers - 1), moment };
}

/** Words for a moment in a layer. */
export function describeMoment(state, life, { layer, moment }, patch) {
  const per = state.meta.tokens_per_frame;
  if (moment < 0) return { title: `Seen at ${clock(life.seen, true)}`, lines: [`Layer ${layer + 1} took in all ${count(per, "token")}`] };
  const lines = [`Layer ${layer + 1} · ${TIERS[state.meta.tiers[layer]]} still held ${life.held[layer][moment]} of ${count(per, "token")}`];
  if (layer === life.layer) {
    const cut = life.cut[moment];
    if (cut !== null) lines.push(`scores from ${scoreText(cut)} on were kept`);
    const score = patch === null || patch === undefined ? null : lifeScore(life, moment, patch);
    if (score !== null) lines.push(`the chosen token scored ${scoreText(score)}`);
  }
  return { title: `Eviction at ${clock(life.moments[moment], true)}`, lines };
}

/** Draw ribbons and scores. */
export function drawLife(ctx, layout, view) {
  drawRibbons(ctx, layout, view);
  drawScores(ctx, layout, view);
  drawTime(ctx, layout, view);
}

function drawRibbons(ctx, { left, width, row, x, to, narrow }, { state, life, palette, ratio }) {
  const per = state.meta.tokens_per_frame;
  ctx.textBaseline = "middle";
  for (let layer = 0; layer < state.meta.layers; layer += 1) {
    const middle = TOP + layer * row + row / 2;
    const on = layer === life.layer;
    if (on) {
      ctx.fillStyle = rgba(palette.focus, 0.1);
      ctx.fillRect(left, TOP + layer * row, width, row);
    }
    ctx.font = `${on ? 650 : 500} 11px ${palette.font}`;
    ctx.fillStyle = rgba(on ? palette.ink : palette.quiet, 1);
    ctx.textAlign = "right";
    if (row >= 11 || on) ctx.fillText(narrow ? `${layer + 1}` : `layer ${layer + 1}`, left - 12, middle);
    ctx.fillStyle = rgba(palette.ink, 0.08);
    ctx.fillRect(left, middle, width, 1);
    const steps = life.untold && !life.moments.length ? [] : heldSteps(life, layer, per);
    steps.forEach(({ seconds, share }, i) => {
      const end = i + 1 < steps.length ? steps[i + 1].seconds : to;
      const tall = share > 0 ? Math.max(2, share * (row - 3)) : 0;
      if (tall) drawSwatch(ctx, state.meta.tiers[layer], palette, ratio, x(seconds), middle - tall / 2, Math.max(1, x(end) - x(seconds)), tall);
    });
    for (const fold of life.folds.filter((f) => f.layer === layer)) {
      const at = x(fold.seconds);
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

/** Patches whose scores are drawn: of many some, evenly spaced, and the chosen one. */
function drawnPatches(life, chosen) {
  const step = Math.max(1, Math.ceil(life.patches / LINES));
  return [...Array(life.patches).keys()].filter((patch) => patch === chosen || patch % step === 0);
}

function drawScores(ctx, { left, width, x, y, chart, top }, { state, life, palette, selected }) {
  ctx.font = `500 11px ${palette.font}`;
  ctx.fillStyle = rgba(palette.quiet, 1);
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  const whose = width < 420 ? "importance in" : "importance of the frame’s tokens in";
  ctx.fillText(`${whose} layer ${life.layer + 1} at each eviction`, left, chart.top - 14);
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const score of [0, top / 2, top]) {
    ctx.fillStyle = rgba(palette.line, 1);
    ctx.fillRect(left, y(score), width, 1);
    ctx.fillStyle = rgba(palette.quiet, 1);
    ctx.fillText(String(Number(score.toPrecision(2))), left - 10, y(score));
  }
  const colour = palette.tiers[state.meta.tiers[life.layer]];
  for (const patch of drawnPatches(life, selected?.patch)) {
    const chosen = selected?.patch === patch;
    drawScoreLine(ctx, { x, y, life, patch, colour: chosen ? palette.focus : colour, chosen });
  }
  ctx.fillStyle = rgba(palette.danger, 1);
  let last = null;
  life.moments.forEach((seconds, m) => {
    const cut = life.cut[m];
    if (cut === null) return;
    ctx.fillRect(x(seconds) - 5, y(cut) - 0.75, 10, 1.75);
    last = { at: x(seconds), y: y(cut) };
  });
  if (last) {
    ctx.textAlign = "right";
    ctx.fillText("lowest score kept", Math.min(last.at, left + width), Math.max(last.y - 10, chart.top + 6));
  }
}

function drawScoreLine(ctx, { x, y, life, patch, colour, chosen }) {
  ctx.strokeStyle = rgba(colour, chosen ? 1 : 0.45);
  ctx.fillStyle = rgba(colour, chosen ? 1 : 0.7);
  ctx.lineWidth = chosen ? 2.5 : 1;
  let drawing = false;
  let end = null;
  ctx.beginPath();
  life.moments.forEach((seconds, m) => {
    const score = lifeScore(life, m, patch);
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
  if (life.left[patch] === null) {
    ctx.fillRect(end[0] - 1.5, end[1] - 1.5, 3, 3);
    return;
  }
  ctx.beginPath(); // a cross where it left
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

/** Mark the moment under the pointer. */
export function markLife(ctx, { x, row, left, width, chart, bottom }, { life, palette, hoverMoment }) {
  if (!hoverMoment) return;
  const at = hoverMoment.moment < 0 ? x(life.seen) : x(life.moments[hoverMoment.moment]);
  ctx.fillStyle = rgba(palette.ink, 0.35);
  ctx.fillRect(at - 0.5, TOP, 1, bottom - TOP);
  ctx.fillRect(at - 0.5, chart.top, 1, chart.height);
  ctx.strokeStyle = rgba(palette.ink, 0.7);
  ctx.lineWidth = 1;
  ctx.strokeRect(left, TOP + hoverMoment.layer * row, width, row);
}

/** The life in sentences. */
export function tellLife(state, life) {
  const { meta } = state;
  const per = meta.tokens_per_frame;
  const said = [`Frame ${life.frame + 1} was seen at ${clock(life.seen, true)} as ${count(per, "token")} in each of ${meta.layers} layers.`];
  if (!life.moments.length && life.untold) {
    return [...said, `There were ${count(life.untold, "eviction")} since, but this policy puts no single tokens on record: what is held now stands above, patch by patch.`];
  }
  if (!life.moments.length) return [...said, "No eviction has happened since: every layer still holds all of it."];
  const end = life.moments.length - 1;
  const now = life.held.map((row) => row[end]);
  for (const group of meta.groups) {
    const mine = now.filter((_, layer) => meta.tiers[layer] === group);
    const sum = mine.reduce((a, b) => a + b, 0);
    const name = group === 3 ? "The layers" : `${TIERS[group][0].toUpperCase()}${TIERS[group].slice(1)} memory`;
    const verb = group === 3 ? "hold" : "holds";
    said.push(sum ? `${name} still ${verb} ${whole(sum)} of ${whole(mine.length * per)} (${count(mine.filter(Boolean).length, "layer")} of ${mine.length}).`
      : `${name} ${group === 3 ? "have" : "has"} let go of all ${whole(mine.length * per)}.`);
  }
  if (life.of > life.moments.length) said.push(`${whole(life.moments.length)} of ${whole(life.of)} evictions are drawn, evenly spaced.`);
  if (life.untold) said.push(`${count(life.untold, "eviction")} of its time ${life.untold === 1 ? "is" : "are"} not on record token by token.`);
  if (life.thinned) said.push(`Of ${count(life.thinned, "older eviction")} only the tokens that left are still on record.`);
  if (life.missed) said.push("The records of its first evictions are gone: what left then is shown as gone from the start.");
  return said;
}

/** Where tokens were folded, in sentences; the largest folds first. */
export function tellFolds(life, most = 6) {
  return [...life.folds].sort((a, b) => b.tokens - a.tokens || a.seconds - b.seconds).slice(0, most).map((fold) => {
    const head = `Layer ${fold.layer + 1}: ${count(fold.tokens, "token")} went into the summary of ${clock(fold.seconds, true)}`;
    const on = fold.summaries.length ? `, which was folded on into that of ${clock(fold.summaries[fold.summaries.length - 1], true)}` : "";
    return `${head}${on}${fold.held ? ". It is still held." : ". It has been let go of since."}`;
  });
}

/** The life as a table: a row an eviction; what each layer held, and the scores that are drawn of the chosen layer. */
export function tableLife({ state, life, selected }) {
  if (!life) return { head: [], rows: [] };
  const layers = [...Array(state.meta.layers).keys()];
  const drawn = drawnPatches(life, selected?.patch);
  const rows = life.moments.map((seconds, m) => [clock(seconds, true), ...layers.map((layer) => `${life.held[layer][m]}`),
    life.cut[m] === null ? "" : scoreText(life.cut[m]), ...drawn.map((patch) => (lifeScore(life, m, patch) === null ? "" : scoreText(lifeScore(life, m, patch))))]);
  const [, columns] = state.meta.grid;
  return {
    caption: `Tokens of the frame held after each eviction; then the scores in layer ${life.layer + 1}, patch by patch (row, column)`,
    head: ["Eviction at", ...layers.map((layer) => `Layer ${layer + 1}: held`), `Lowest score kept, layer ${life.layer + 1}`,
      ...drawn.map((patch) => `${Math.floor(patch / columns) + 1}, ${(patch % columns) + 1}`)],
    rows,
  };
}
