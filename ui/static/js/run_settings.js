// While a recorded run is shown, the page's settings are not the run's: the closed boxes say so.
import { h, setText } from "./dom.js";

/** Whose settings a box shows, in a sentence; "" while a live stream or nothing is shown. Pure. */
export function whoseSettings(run) {
  return run ? `Applies to live streams; this run: ${run.settings}` : "";
}

/** Keep such a sentence in the box that `find` gives; it is looked up anew, since the page may draw the box again. */
export function noteWhoseSettings(bus, find) {
  let note = null;
  bus.on("view", (view) => {
    note ??= h("span", { class: "hl-whose" });
    const box = find();
    if (box && note.parentElement !== box) box.append(note);
    const words = whoseSettings(view.run);
    note.hidden = !words;
    setText(note, words);
  });
}
