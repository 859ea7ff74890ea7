// A note in the settings panels while a recorded run is shown, because the page's settings do not apply to the run.
import { h, setText } from "../shared/dom.js";

/** Note about the settings of a recorded run; "" if none is shown. Pure. */
export function runSettingsNote(run) {
  return run ? `For live streams only. This recording: ${run.settings}` : "";
}

/** Keep the note in the element that `find()` returns, which Gradio may render again. Returns a function that inserts the note. */
export function showRunSettings(bus, find) {
  let note = null;
  const insert = () => {
    const box = find();
    if (box && note && note.parentElement !== box) box.append(note);
  };
  bus.on("view", (view) => {
    note ??= h("span", { class: "hl-whose" });
    insert();
    const text = runSettingsNote(view.run);
    note.hidden = !text;
    setText(note, text);
  });
  return insert;
}
