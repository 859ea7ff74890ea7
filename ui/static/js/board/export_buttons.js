// The board's export buttons: each figure as PNG and SVG, the retention table as CSV, and the board as an HTML page.
import { csv, figureCanvas, figureSvg, fileName, retentionRows, save } from "./exports.js";
import { clock } from "../shared/format.js";
import { setText } from "../shared/dom.js";

/** Connect the buttons. `ask(request)` fetches the HTML page from the server. */
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
