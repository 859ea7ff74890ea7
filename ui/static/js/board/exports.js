// Exports: figures as PNG or SVG with title and time, the retention table as CSV, and file downloads.
import { framesIn, keptTokens, layerNumber, secondsOf, seenColumns } from "./codec.js";
import { setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";
import { rgba } from "../shared/palette.js";
import { svgPen } from "./svg.js";

const HEAD = 52;
const EDGE = 20;

/** A CSV field, quoted as needed (RFC 4180). Text that a spreadsheet would run as a formula gets a leading apostrophe. */
export function csvField(value) {
  const text = String(value);
  const safe = /^[=+@]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

/** Format rows as CSV text. */
export function csv(rows) {
  return `${rows.map((row) => row.map(csvField).join(",")).join("\r\n")}\r\n`;
}

/** The retention table: one row per column of frames, with the tokens that each layer still holds. Layers count from 0. */
export function retentionRows(state) {
  const { meta } = state;
  const layers = [...Array(meta.layers).keys()];
  const rows = [["first_frame", "last_frame", "seconds", "tokens", ...layers.map((layer) => `layer_${layerNumber(meta, layer)}`)]];
  for (let c = 0; c < seenColumns(state); c += 1) {
    const inside = framesIn(state, c);
    const first = c * meta.bin;
    rows.push([first + 1, first + inside, secondsOf(state, first).toFixed(3), inside * meta.tokens_per_frame,
      ...layers.map((layer) => keptTokens(state, layer, c).kept)]);
  }
  return rows;
}

/** Draw the background, title and note of an exported figure. */
function titled(pen, { title, note, width, height, palette }) {
  pen.fillStyle = rgba(palette.card, 1);
  pen.fillRect(0, 0, width + 2 * EDGE, height + HEAD + EDGE);
  pen.fillStyle = rgba(palette.ink, 1);
  pen.textAlign = "left";
  pen.textBaseline = "alphabetic";
  pen.font = `620 15px ${palette.font}`;
  pen.fillText(title, EDGE, 24);
  pen.font = `400 12px ${palette.font}`;
  pen.fillStyle = rgba(palette.quiet, 1);
  pen.fillText(note, EDGE, 42);
}

/** Return a figure as SVG text. `paint(pen)` draws it at (0, 0). */
export function figureSvg({ title, note, width, height, palette, paint }) {
  const outer = svgPen(width + 2 * EDGE, height + HEAD + EDGE);
  titled(outer, { title, note, width, height, palette });
  const inner = svgPen(width, height);
  paint(inner);
  const nested = inner.finish().replace("<svg ", `<svg x="${EDGE}" y="${HEAD}" `);
  return outer.finish().replace(/<\/svg>$/, `${nested}</svg>`);
}

/** Return a figure as a canvas of twice the size, for a PNG file. */
export function figureCanvas({ title, note, width, height, palette, paint }) {
  const canvas = document.createElement("canvas");
  canvas.width = (width + 2 * EDGE) * 2;
  canvas.height = (height + HEAD + EDGE) * 2;
  const pen = canvas.getContext("2d");
  pen.setTransform(2, 0, 0, 2, 0, 0);
  titled(pen, { title, note, width, height, palette });
  pen.setTransform(2, 0, 0, 2, EDGE * 2, HEAD * 2);
  paint(pen);
  return canvas;
}

/** A file name of letters, digits and dashes. */
export function fileName(...parts) {
  return parts.join(" ").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

/** Download data as a file. */
export function save(name, data, type) {
  const url = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
}

/** Connect the export buttons: each figure as PNG and SVG, the retention table as CSV, and the board as an HTML page. `ask(request)` fetches the HTML page from the server. */
export function connectExports(figures, view, ui, ask) {
  const moment = () => `stream time ${clock(view.state.meta ? view.state.times[Math.max(0, Math.ceil(view.state.frames / view.state.meta.bin) - 1)] : NaN, true)}`;
  const note = () => `${view.state.meta.policy}, ${view.state.meta.budget > 0 ? `budget ${view.state.meta.budget} tokens per layer` : "no budget"}, ${moment()}`;

  function spec(figure) {
    const width = Math.max(figure.ui.box.clientWidth, 640);
    const layout = figure.layout(width, view);
    return {
      title: figure.ui.title, note: note(), width, height: Math.ceil(figure.height(layout)), palette: view.palette,
      paint: (pen) => figure.draw(pen, layout, { ...view, ratio: 2 }),
    };
  }

  for (const figure of figures) {
    const { png, svg } = figure.ui.tools;
    const hasData = () => view.state.frames && (!figure.ready || figure.ready());
    const name = (ending) => `${fileName("hermes", figure.ui.title, moment())}.${ending}`;
    svg?.addEventListener("click", () => hasData() && save(name("svg"), figureSvg(spec(figure)), "image/svg+xml"));
    png?.addEventListener("click", () => hasData() && figureCanvas(spec(figure)).toBlob((blob) => save(name("png"), blob), "image/png"));
  }
  ui.saves.csv.addEventListener("click", () => view.state.frames
    && save(`${fileName("hermes retention", moment())}.csv`, csv(retentionRows(view.state)), "text/csv;charset=utf-8"));
  ui.saves.page.addEventListener("click", async () => {
    if (!view.state.frames) return;
    setText(ui.live, "Creating the page …");
    const reply = await ask({ kind: "page" });
    if (reply?.html) save(`${fileName("hermes board", moment())}.html`, reply.html, "text/html;charset=utf-8");
    setText(ui.live, reply?.html ? "The page was saved." : reply?.error ?? "The page could not be created. Try again.");
  });
}
