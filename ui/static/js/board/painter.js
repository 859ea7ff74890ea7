// Painting of the board: figures are repainted when something changed and while they are near the window, and all for printing.
import { readPalette } from "../shared/palette.js";

/** The server sends scores and pictures for figures within this many pixels of the window. */
const NEAR = 300;
const isDark = () => document.body.classList.contains("dark");
/** Screens of at least this height show all strips of the filmstrip and taller figures. */
export const tallScreen = () => matchMedia("(min-height: 800px)");
/** Windows of this width have two columns: the memory has a column of its own, see `sizes.css`. */
export const pairScreen = () => matchMedia("(min-width: 641px) and (max-width: 1100px)");

/**
 * Make the painter of a board. Returns {repaint(names), schedule(), paint(), watch(list, seen)}: `watch` sets the figures and calls `seen`
 * when one comes into view, leaves it or changes its size.
 */
export function makePainter(view, ui) {
  let figures = [];
  let scheduled = false;
  const screens = { tall: tallScreen(), pair: pairScreen() };

  function repaint(only = null) {
    for (const figure of figures) figure.dirty ||= only === null || only.includes(figure.ui.name);
    schedule();
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      if (!document.hidden) paint();
    });
  }

  function paint() {
    const empty = !view.state.meta || !view.state.frames;
    for (const part of [ui.root, ui.memory]) part.classList.toggle("is-empty", empty);
    if (empty) return;
    ui.answer.empty.hidden = Boolean(view.state.answer);
    for (const figure of figures) figure.inView ??= isNear(figure.ui.box); // measured for all before any layout
    for (const figure of figures) {
      const shown = !figure.ready || figure.ready();
      figure.ui.box.hidden = !shown;
      if (!shown) continue;
      if (figure.dirty) paintFigure(figure);
      if (figure.at) paintOverlay(figure);
    }
  }

  function isNear(box) {
    const { top, bottom } = box.getBoundingClientRect();
    return top < innerHeight + NEAR && bottom > -NEAR;
  }

  function paintFigure(figure) {
    const width = figure.ui.box.clientWidth;
    if (!width) return;
    figure.at = figure.layout(width, view);
    view.ratio = Math.min(3, window.devicePixelRatio || 1);
    const height = figure.height(figure.at);
    figure.ui.canvas.style.height = `${height}px`; // reserves the space, to avoid layout shifts
    figure.dirty = false;
    const ctx = fit(figure.ui.canvas, width, height);
    figure.draw(ctx, figure.at, view);
    figure.size = [width, height];
    if (marks().some((mark) => mark !== null)) figure.overlay = null; // the marks move with the figure
  }

  /** What the overlays show. */
  function marks() {
    return [view.cursor, view.selected, view.hoverPatch, view.hoverMoment];
  }

  function fit(canvas, width, height) {
    const size = [Math.round(width * view.ratio), Math.round(height * view.ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) {
      [canvas.width, canvas.height] = size;
      canvas.style.height = `${height}px`;
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    return ctx;
  }

  function paintOverlay(figure) {
    if (!figure.mark) return;
    const overlay = JSON.stringify([figure.size, view.ratio, marks()]);
    if (figure.overlay === overlay) return; // also if nothing is marked: each drawn canvas costs a copy of its pixels
    figure.overlay = overlay;
    const [width, height] = figure.size;
    figure.mark(fit(figure.ui.overlay, width, height), figure.at, view);
  }

  function watch(list, seen) {
    figures = list;
    const resized = new ResizeObserver(() => {
      repaint();
      seen(); // another number of pictures may fit
    });
    for (const part of [ui.root, ui.memory]) resized.observe(part);
    for (const [name, query] of Object.entries(screens)) {
      query.addEventListener("change", () => {
        view[name] = query.matches;
        repaint();
        seen();
      });
    }
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) figures.find((figure) => figure.ui.canvas === entry.target).inView = entry.isIntersecting;
      schedule();
      seen();
    }, { rootMargin: `${NEAR}px` });
    figures.forEach((figure) => observer.observe(figure.ui.canvas));
    let dark = isDark();
    new MutationObserver(() => {
      if (isDark() === dark) return; // other classes of the body do not change colours
      dark = !dark;
      view.palette = readPalette(ui.memory);
      repaint();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    document.addEventListener("visibilitychange", () => document.hidden || schedule());
    addEventListener("beforeprint", () => { // print all figures, those of all tabs
      document.body.classList.add("hl-printing");
      for (const figure of figures) {
        figure.inView = true;
        figure.dirty = true;
      }
      paint();
    });
    addEventListener("afterprint", () => { // check again which ones are in view
      document.body.classList.remove("hl-printing");
      for (const { ui: { canvas } } of figures) {
        observer.unobserve(canvas);
        observer.observe(canvas);
      }
    });
  }

  return { repaint, schedule, paint, watch };
}
