// The record button: starts and stops a recording and downloads the file.
import { h, icon, setText } from "../shared/dom.js";
import { bytes, clock, count } from "../shared/format.js";

/** Status of a recording, or "" if there is none; `recording.ended` is why it ended early, or "". Pure. */
export function recordingLine(recording) {
  if (!recording) return "";
  if (recording.ended) return `The recording ended because ${recording.ended}. Save it now.`;
  return `Recording · ${count(recording.moments, "moment")}, up to ${clock(recording.seconds)}`;
}

/** Build the button. `act(action)` calls the server. Returns {button, line, draw(view, possible)}. */
export function makeRecord(act) {
  const button = h("button", { type: "button", class: "hl-button hl-record", "aria-pressed": "false", title: "Record the memory, frames and answers to a file" }, icon("record"), h("span", {}, "Record"));
  const line = h("p", { class: "hl-record-line", role: "status", hidden: true });
  let recording = false;
  let downloaded = null;

  button.addEventListener("click", () => {
    button.disabled = true; // until the server responds
    act(recording ? "stop-recording" : "record");
  });

  function download(file) {
    const link = h("a", { href: file.url, download: file.name }, file.name);
    line.replaceChildren("Saved: ", link, ` · ${bytes(file.bytes)}. Open it under Upload.`);
    link.click();
  }

  return {
    button,
    line,
    draw(view, possible) {
      recording = Boolean(view.recording);
      button.hidden = !possible && !recording;
      button.disabled = false;
      button.setAttribute("aria-pressed", String(recording));
      setText(button.lastChild, recording ? "Save recording" : "Record");
      if (recording) setText(line, recordingLine(view.recording));
      else if (view.recorded && view.recorded.n !== downloaded) {
        downloaded = view.recorded.n;
        download(view.recorded);
      } else if (!view.recorded) line.replaceChildren();
      line.hidden = !line.hasChildNodes();
    },
  };
}
