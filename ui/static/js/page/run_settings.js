// While a recorded run is shown, the page's settings are not the run's: the closed boxes say so.
import { h, setText } from "../shared/dom.js";

/** Whose settings a box shows, in a sentence; "" while a live stream or nothing is shown. Pure. */
export function whoseSettings(run) {
  return run ? `Applies to live streams; this run: ${run.settings}` : "";
}

/** Keep such a sentence in the box that `find` gives, which the page may draw again; the result puts it there now. */
export function noteWhoseSettings(bus, find) {
  let note = null;
  const put = () => {
    const box = find();
    if (box && note && note.parentElement !== box) box.append(note);
  };
  bus.on("view", (view) => {
    note ??= h("span", { class: "hl-whose" });
    put();
    const words = whoseSettings(view.run);
    note.hidden = !words;
    setText(note, words);
  });
  return put;
}
