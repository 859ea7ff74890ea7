// The list of the board's figures with their layout, drawing, hit testing, tooltips and tables.
import { describePicture, drawFilm, hitFilm, layoutFilm, markFilm, tableFilm } from "./film.js";
import { describeEvictions, drawEvictions, hitEvictions, layoutEvictions, tableEvictions } from "./evictions.js";
import { drawLayers, hitLayers, layoutLayers, markLayers, tableLayers } from "./layers.js";
import { describeMoment, drawHistory, hitHistory, layoutHistory, markHistory, tableHistory } from "./token_history.js";
import { describePatch, drawMinis, drawPicture, heldPatches, hitMinis, hitPicture, layoutMinis, layoutPicture, markPicture, tableMinis, tablePatches } from "./patches.js";
import { describeRead, drawReading, hitReading, layoutReading, markReading, tableReading } from "../chat/answer_attention.js";
import { describeRetention, drawRetention, hitRetention, layoutRetention, markRetention, tableRetention } from "./retention.js";
import { describeAge, drawSurvival, hitSurvival, layoutSurvival, tableSurvival } from "./survival.js";
import { describeTimeline, drawTimeline, hitTimeline, layoutTimeline, markTimeline, tableTimeline } from "./timeline.js";
import { noteOfCell } from "./descriptions.js";
import { withWord } from "../chat/word_attention.js";
import { layerNumber } from "./codec.js";

/** Return the figures. Clicks call `open(frame, layer)`, `pickLayer(layer)` or `pickPatch(patch)`. */
export function boardFigures(view, ui, { open, pickLayer, pickPatch }) {
  const { panel } = ui.layers;
  const height = (layout) => layout.height;
  const total = (layout) => layout.total;
  const figure = (ui_, parts) => ({ ui: ui_, dirty: true, height, ...parts });
  const worded = (draw) => (ctx, layout, now) => draw(ctx, layout, withWord(now));
  const frameOpen = () => Boolean(view.selected && view.frame);
  const list = [
    figure(ui.film, {
      layout: layoutFilm, draw: worded(drawFilm), mark: markFilm, hit: hitFilm, table: tableFilm, points: true,
      note: (hit) => describePicture(view.state, hit), click: (hit) => open(hit.frame, null),
    }),
    figure(ui.layers.figure, {
      layout: layoutLayers, draw: worded(drawLayers), mark: markLayers, hit: hitLayers, table: tableLayers, points: true,
      note: (hit) => noteOfCell(withWord(view), hit), click: (hit) => open(hit.frame, hit.layer),
    }),
    figure(ui.timeline, {
      layout: layoutTimeline, draw: worded(drawTimeline), mark: markTimeline, hit: hitTimeline, table: tableTimeline, points: true,
      note: (hit) => describeTimeline(view.state, hit), click: (hit) => open(hit.frame, null),
    }),
    figure(panel.picture, {
      layout: layoutPicture, draw: drawPicture, mark: markPicture, hit: hitPicture, table: tablePatches, ready: frameOpen,
      over: (patch) => { view.hoverPatch = patch; }, click: pickPatch,
      note: (patch) => describePatch(view.frame, view.state.meta, view.selected.layer, patch,
        view.tokenHistory?.layer === view.selected.layer ? view.tokenHistory.left[patch] : null),
    }),
    figure(panel.minis, {
      layout: layoutMinis, draw: drawMinis, hit: hitMinis, table: tableMinis, ready: frameOpen, click: pickLayer,
      note: (layer) => ({ title: `Layer ${layerNumber(view.state.meta, layer)}`, lines: [`holds ${heldPatches(view.frame, layer)} of ${view.frame.patches} patches`] }),
    }),
    figure(ui.answer.figure, { layout: (width, now) => layoutReading(width, withWord(now)), draw: worded(drawReading), mark: markReading, hit: hitReading, table: tableReading, points: true }),
    figure(ui.retention.survival, {
      layout: layoutSurvival, height: total, draw: drawSurvival, hit: hitSurvival, table: tableSurvival, note: (hit) => describeAge(view.state, hit),
    }),
    figure(ui.retention.evictions, {
      layout: layoutEvictions, draw: drawEvictions, hit: hitEvictions, table: tableEvictions, note: (hit) => describeEvictions(view.state, hit),
    }),
    ...ui.retention.fade.map((node, tier) => figure(node, {
      layout: layoutRetention, height: total, draw: (ctx, layout) => drawRetention(ctx, layout, tier, view), mark: markRetention,
      hit: hitRetention, table: () => tableRetention(view, tier, node.title), note: (hit) => describeRetention(view.state, tier, hit),
    })),
    figure(ui.history.figure, {
      layout: layoutHistory, draw: drawHistory, mark: markHistory, hit: hitHistory, table: tableHistory, ready: () => Boolean(view.tokenHistory),
      over: (hit) => { view.hoverMoment = hit; }, click: (hit) => pickLayer(hit.layer),
      note: (hit) => describeMoment(view.state, view.tokenHistory, hit, view.selected?.patch),
    }),
  ];
  const reading = list.find((f) => f.ui === ui.answer.figure);
  reading.note = (hit) => describeRead(reading.at, withWord(view), hit);
  reading.click = (hit) => open(hit.frame, null);
  return list;
}
