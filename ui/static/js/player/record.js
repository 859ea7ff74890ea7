// The record button: starts and stops the recording of what is shown, then hands over the file.
import { h, icon, setText } from "../shared/dom.js";
import { bytes, clock, count } from "../shared/format.js";

/** What the button says of a recording: "" while none runs; `over` is why it may have ended by itself. Pure. */
export function recordingLine(recording, over = "the stream began again") {
  if (!recording) return "";
  if (recording.ended) return `The recording ended, because ${over}. Save it now.`;
  return `Recording · ${count(recording.moments, "moment")}, up to ${clock(recording.seconds)}`;
}

/** Build the button. `act(action)` reaches the server; `over`: see `recordingLine`. Returns {button, line, draw(view, possible)}. */
export function makeRecord(act, over) {
  const button = h("button", { type: "button", class: "hl-button hl-record", "aria-pressed": "false", title: "Record memory, pictures and answers in one file" }, icon("record"), h("span", {}, "Record"));
  const line = h("p", { class: "hl-record-line", role: "status", hidden: true });
  let on = false;
  let taken = null;

  button.addEventListener("click", () => {
    button.disabled = true; // until the server has told
    act(on ? "stop-recording" : "record");
  });

  function hand(file) {
    const link = h("a", { href: file.url, download: file.name }, file.name);
    line.replaceChildren("Saved: ", link, ` · ${bytes(file.bytes)}. Open it again under Upload.`);
    link.click();
  }

  return {
    button,
    line,
    draw(view, possible) {
      on = Boolean(view.recording);
      button.hidden = !possible && !on;
      button.disabled = false;
      button.setAttribute("aria-pressed", String(on));
      setText(button.lastChild, on ? "Save recording" : "Record");
      if (on) setText(line, recordingLine(view.recording, over));
      else if (view.recorded && view.recorded.n !== taken) {
        taken = view.recorded.n;
        hand(view.recorded);
      } else if (!view.recorded) line.replaceChildren();
      line.hidden = !line.hasChildNodes();
    },
  };
}
