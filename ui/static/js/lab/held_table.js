// The drawings of a comparison as a table: tokens held by each layer of each method, and the most attended moment of its last answer.
import { fromBase64, TIERS } from "../board/codec.js";
import { h } from "../shared/dom.js";
import { clock, percent } from "../shared/format.js";
import { heldShare, UNSEEN } from "./cards.js";
import { connectTables } from "../shared/tables.js";

const NONE = "–";

/** Describe what a layer holds: the share of the tokens it has seen, and the oldest moment of which it still holds tokens, if known. */
function describeLayer(values, startOf) {
  const oldest = values.findIndex((value) => value && value !== UNSEEN);
  if (oldest < 0) return "nothing";
  return startOf ? `${percent(heldShare(values))}, from ${clock(startOf(oldest))} on` : percent(heldShare(values));
}

/** The table of a state, {head, rows, caption}; it has no rows before the first frame. Pure. */
export function heldTable({ lanes, columns, duration }) {
  const held = lanes.map((lane) => (lane.held ? fromBase64(lane.held) : null));
  const layers = Math.max(0, ...lanes.map((lane, i) => (held[i] ? lane.layers : 0)));
  const startOf = duration ? (column) => (column / columns) * duration : null;
  const cell = (lane, i, layer) => {
    if (!held[i] || layer >= lane.layers) return NONE;
    const tier = lane.tiers ? ` (${TIERS[lane.tiers[layer]]})` : "";
    return describeLayer(held[i].subarray(layer * columns, (layer + 1) * columns), startOf) + tier;
  };
  const rows = Array.from({ length: layers }, (_, layer) => [String(layer), ...lanes.map((lane, i) => cell(lane, i, layer))]);
  if (startOf && lanes.some((lane) => lane.spots)) {
    rows.push(["last answer", ...lanes.map((lane) => {
      if (!lane.spots) return NONE;
      const spots = fromBase64(lane.spots);
      return `attended most to ${clock(startOf(spots.indexOf(Math.max(...spots))))}`;
    })]);
  }
  return {
    caption: "Share of the tokens seen so far that each layer holds, and the oldest moment of which it holds any. Layer 0 is the shallowest.",
    head: ["layer", ...lanes.map((lane) => (lane.badge ? `${lane.title} (${lane.badge})` : lane.title))], rows,
  };
}

/** Build the table and its button. Returns {button, table, draw(state)}. */
export function makeHeldTable() {
  let state = { lanes: [], columns: 0, duration: null };
  const button = h("button", { type: "button", class: "hl-tool", "aria-pressed": "false", "aria-label": "Table: what each layer holds", hidden: true }, "Table");
  const table = h("div", { class: "hl-table", role: "region", tabindex: "0", "aria-label": "Table: what each layer holds", hidden: true });
  const { refresh } = connectTables([{ table: () => heldTable(state), ui: { table, tools: { table: button } } }], null);
  return {
    button, table,
    draw(next) {
      state = next;
      button.hidden = !state.lanes.length;
      if (button.hidden) {
        table.hidden = true;
        button.setAttribute("aria-pressed", "false");
      }
      refresh();
    },
  };
}
