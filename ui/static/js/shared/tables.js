// Tables of the figures for screen readers and exact values. An open table is updated once a second.
import { h } from "./dom.js";

/** Most rows shown; the number of further rows is given below the table. */
export const MAX_ROWS = 300;
const REFRESH_MS = 1000;

/** Create the elements of a table {head, rows, caption}. */
export function tableElement({ head, rows, caption }) {
  const shown = rows.slice(0, MAX_ROWS);
  const parts = [h("table", {}, caption ? h("caption", {}, caption) : null, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, shown.map((row) => h("tr", {}, row.map((text, i) => (i ? h("td", {}, text) : h("th", { scope: "row" }, text)))))))];
  if (rows.length > shown.length) parts.push(h("p", {}, `${rows.length - shown.length} more rows are not shown; the CSV export contains all frames.`));
  if (!rows.length) return [h("p", {}, "Nothing to show yet.")];
  return parts;
}

/** Connect the Table buttons of figures. Returns {refresh}, which updates open tables. */
export function connectTables(figures, view) {
  let filledAt = 0;
  let waiting = null; // for the next update
  const fill = (figure) => figure.ui.table.replaceChildren(...tableElement(figure.table(view)));
  for (const figure of figures) {
    if (!figure.table) continue;
    const { table } = figure.ui.tools;
    table.addEventListener("click", () => {
      const open = figure.ui.table.hidden;
      figure.ui.table.hidden = !open;
      table.setAttribute("aria-pressed", String(open));
      if (open) fill(figure);
    });
  }
  function refresh() {
    if (waiting !== null || document.hidden) return;
    const rest = REFRESH_MS - (Date.now() - filledAt);
    if (rest > 0) { // what came last must be shown, although nothing may follow it
      waiting = setTimeout(() => {
        waiting = null;
        refresh();
      }, rest);
      return;
    }
    filledAt = Date.now();
    for (const figure of figures) {
      const node = figure.ui.table;
      if (figure.table && !node.hidden && !node.contains(document.activeElement)) fill(figure);
    }
  }

  return { refresh };
}
