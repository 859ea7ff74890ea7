// Pointer, wheel and keyboard input on the board: moves the cursor, shows tooltips and announces cells to screen readers.
import { seenColumns } from "./codec.js";
import { h, setText } from "../shared/dom.js";
import { movePatch } from "./patches.js";
import { moveCursor } from "./scales.js";
import { noteOfCell, speakNote } from "./descriptions.js";
import { describeWindow, reveal, wholeWindow } from "./zoom.js";

/** Connect pointer, wheel and keys. Actions: point(cursor), open(frame, layer), schedule(), zoomBy(factor, frame), setWindow(window), axis(). */
export function connectInput(figures, view, ui, { point, open, schedule, zoomBy, setWindow, axis }) {
  function tip(canvas, x, y, note) {
    ui.tip.replaceChildren(h("strong", {}, note.title), ...note.lines.map((line) => h("span", {}, line)));
    ui.tip.hidden = false;
    const frame = canvas.getBoundingClientRect();
    const left = Math.max(8, Math.min(document.documentElement.clientWidth - ui.tip.offsetWidth - 8, frame.left + x - ui.tip.offsetWidth / 2));
    const above = frame.top + y - ui.tip.offsetHeight - 14;
    ui.tip.style.transform = `translate(${left}px, ${above < 8 ? frame.top + y + 18 : above}px)`;
  }

  for (const figure of figures) {
    const canvas = figure.ui.input;
    const at = (event) => (figure.at && view.state.frames ? figure.hit?.(figure.at, view, event.offsetX, event.offsetY) ?? null : null);
    const hover = (event) => {
      const hit = at(event);
      figure.over?.(hit);
      const note = hit === null ? null : figure.note?.(hit);
      if (note) tip(canvas, event.offsetX, event.offsetY, note);
      else ui.tip.hidden = true;
      if (figure.points) point(hit);
      else schedule();
    };
    canvas.addEventListener("pointermove", hover);
    canvas.addEventListener("pointerdown", hover); // touch without movement
    canvas.addEventListener("click", (event) => {
      const hit = at(event);
      if (hit !== null) figure.click?.(hit);
    });
    canvas.addEventListener("pointerleave", () => {
      ui.tip.hidden = true;
      figure.over?.(null);
      if (document.activeElement !== canvas) point(null);
    });
    canvas.addEventListener("blur", () => {
      ui.tip.hidden = true;
      point(null);
    });
  }

  for (const [name, canvas] of [["layers", ui.layers.figure.input], ["film", ui.film.input]]) {
    canvas.addEventListener("keydown", (event) => keys(name, canvas, event));
    canvas.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) || !view.state.meta) return; // without Ctrl or Cmd the page scrolls
      event.preventDefault();
      const figure = figures.find((f) => f.ui.input === canvas);
      zoomBy(event.deltaY > 0 ? 1.35 : 1 / 1.35, figure.at.scale.frame(event.offsetX));
    }, { passive: false });
  }

  const picture = figures.find((figure) => figure.ui.name === "picture");
  picture.ui.input.addEventListener("keydown", (event) => {
    if (!picture.at || !view.frame) return;
    const patch = movePatch(view.hoverPatch, event.key, view.frame.grid);
    if (event.key === "Enter" && view.hoverPatch !== null) picture.click(view.hoverPatch);
    else if (patch !== null) {
      view.hoverPatch = patch;
      setText(ui.live, speakNote(picture.note(patch)));
      schedule();
    } else return;
    event.preventDefault();
  });

  function keys(name, canvas, event) {
    const { state } = view;
    if (!state.meta || event.altKey || event.ctrlKey || event.metaKey) return;
    const zooms = { "+": 0.5, "=": 0.5, "-": 2 };
    if (zooms[event.key]) {
      zoomBy(zooms[event.key], view.cursor?.frame);
      setText(ui.live, describeWindow(view.window, 1));
    } else if (event.key === "0") setWindow(wholeWindow(axis()));
    else if (event.key === "Escape") {
      ui.tip.hidden = true;
      point(null);
    } else if (event.key === "Enter" || event.key === " ") {
      if (view.cursor) open(view.cursor.frame, view.cursor.layer);
    } else if (!moveBy(name, canvas, event)) return;
    event.preventDefault();
  }

  function moveBy(name, canvas, { key, shiftKey }) {
    const { state } = view;
    const { bin } = state.meta;
    const from = view.cursor && { column: Math.floor(view.cursor.frame / bin), layer: view.cursor.layer ?? 0 };
    const next = moveCursor(from, key, shiftKey, seenColumns(state), state.meta.layers);
    if (!next) return false;
    const frame = next.column * bin;
    const moved = reveal(view.window, frame, axis());
    if (moved !== view.window) setWindow(moved);
    point({ frame, column: next.column, layer: name === "film" ? null : next.layer });
    const note = noteOfCell(view, next);
    setText(ui.live, speakNote(note));
    const figure = figures.find((f) => f.ui.input === canvas);
    if (figure.at) tip(canvas, figure.at.scale.x(frame), name === "film" ? 20 : figure.at.rows.top(next.layer), note);
    return true;
  }
}
