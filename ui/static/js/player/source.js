// The source of the stream: one tab per kind of source, with the selection of each.
import { h, icon, radioKeys, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";
import { sizeProblem, uploadProblem } from "../shared/upload.js";
import { runPanel } from "../runs/replay.js";

const SOURCES = [["run", "Recorded"], ["clip", "Clips"], ["upload", "Upload"], ["camera", "Webcam"]];

/** Where a phone finds the page of props: its address, or what is missing if the page is only served to this computer. Pure. */
export function propsAddress(page) {
  const url = new URL("props", page);
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  return { url: url.href, local, text: local ? `${url.protocol}//…:${url.port || 80}${url.pathname}` : url.href };
}

/** Whether a selection is complete: a clip, an uploaded video, or the camera. Recordings open when they are selected. Pure. */
export function isComplete(kind, { clip, upload }) {
  return kind === "camera" || (kind === "clip" && Boolean(clip)) || (kind === "upload" && Boolean(upload?.path) && !upload.recorded);
}

/** The note on props for visitors without objects at hand. */
function propsNote(page) {
  const { url, local, text } = propsAddress(page);
  const link = h("a", { href: url, target: "_blank", rel: "noopener", class: "hl-link" }, "Show pictures of objects and cards");
  const phone = local ? `, and open ${text} with the address of this computer.` : ` Its address: ${text}`;
  const host = local ? [" Start the server with ", h("code", {}, "--host 0.0.0.0")] : [];
  return ["Nothing at hand? ", link, " on a phone and hold it up to the camera.", ...host, phone];
}

/**
 * Build the source selection.
 *
 * `kit`: {clips, runs, limitMb, planned, upload(file), first (id of the run that opens, or null), filming() (whether the
 *   camera is on), on: {run(id), clip(), file(recorded), moved(before), changed(), problem(text)}}.
 * The panel covers the picture while the visitor chooses. Returns {tabs, current, panel, kind(), chosen(), is(view), target(),
 * choose(kind), put(kind, chosen), reject(playing), isMissing(), show(), close()}.
 */
export function makeSource({ clips, runs, limitMb, planned, upload, first, filming, on }) {
  let kind = first ? "run" : clips.length ? "clip" : "upload";
  let chosen = { clip: clips[0]?.id ?? null, upload: null, run: first };
  const buttons = SOURCES.map(([name, label]) => h("button", { type: "button", role: "tab", id: `hl-tab-${name}`, "aria-controls": "hl-source", onclick: () => {
    if (name !== kind) choose(name);
    open(true);
  } }, label));
  const tabs = h("div", { class: "hl-segments hl-tabs", role: "tablist", "aria-label": "Source" }, buttons);
  const panel = h("div", { class: "hl-source", id: "hl-source", role: "tabpanel", hidden: true });
  const current = h("button", { type: "button", class: "hl-current", "aria-expanded": "false", "aria-controls": "hl-source", title: "Choose another one",
    onclick: () => open(panel.hidden) }, h("span", {}, ""), h("b", { "aria-hidden": "true" }, "▾"));
  const panels = { run: () => runPanel(runs, chosen.run, on.run), clip: clipPanel, upload: uploadPanel, camera: cameraPanel };

  buttons[0].hidden = !runs.length;
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const offered = SOURCES.filter(([name]) => name !== "run" || runs.length);
    const at = offered.findIndex(([name]) => name === kind);
    choose(offered[(at + step + offered.length) % offered.length][0]);
    open(true);
    buttons.find((tab) => tab.tabIndex === 0).focus();
  });

  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && !(event.key === "Enter" && /** @type {Element} */ (event.target).matches('[role="radio"]'))) return;
    open(false);
    current.focus();
  });
  panel.addEventListener("click", (event) => { // a click by pointer closes the panel; arrow keys, which also click, do not
    if (event.detail && /** @type {Element} */ (event.target).closest('[role="radio"]')) open(false);
  });

  function open(on) {
    panel.hidden = !on;
    current.setAttribute("aria-expanded", String(on));
  }

  /** What is selected, for the button that opens the panel. */
  function titleOfChoice() {
    if (kind === "camera") return filming() ? "Webcam is on" : "Webcam";
    if (kind === "upload") return chosen.upload?.name ?? "Choose a video file";
    const list = kind === "run" ? runs : clips;
    return list.find((one) => one.id === chosen[kind])?.title ?? (kind === "run" ? "Recording" : "Choose a clip");
  }

  function show() {
    setText(current.firstChild, titleOfChoice());
    SOURCES.forEach(([name], i) => {
      buttons[i].setAttribute("aria-selected", name === kind);
      buttons[i].tabIndex = name === kind ? 0 : -1;
      if (name === kind) panel.setAttribute("aria-labelledby", buttons[i].id);
    });
    panel.replaceChildren(panels[kind]());
  }

  function choose(name) {
    const before = kind;
    kind = name;
    open(false);
    on.moved(before);
    show();
    on.changed();
  }

  /** The selected source as the server expects it. */
  function target() {
    if (kind === "camera" || kind === "run") return { kind };
    return kind === "clip" ? { kind, id: chosen.clip } : { kind, path: chosen.upload?.path, name: chosen.upload?.name };
  }

  function clipPanel() {
    if (!clips.length) return h("p", { class: "hl-caption" }, "No clips are installed. Upload a video or use the webcam.");
    const cards = clips.map((clip) => h("button", {
      type: "button", role: "radio", class: "hl-clip", "aria-checked": clip.id === chosen.clip ? "true" : "false",
      onclick: () => {
        chosen.clip = clip.id;
        cards.forEach((card, i) => card.setAttribute("aria-checked", clips[i].id === clip.id));
        updateTabStops();
        setText(current.firstChild, titleOfChoice());
        on.changed();
        on.clip();
      },
    }, clip.poster ? h("img", { src: clip.poster, alt: "" }) : h("span", { class: "hl-clip-blank" }),
    h("span", {}, clip.title, h("b", {}, clock(clip.seconds))), h("small", {}, clip.about)));
    const group = h("div", { class: "hl-clips", role: "radiogroup", "aria-label": "Clips" }, cards);
    const updateTabStops = radioKeys(group);
    return group;
  }

  function uploadPanel() {
    const input = h("input", { type: "file", accept: "video/*,.hermesrun", class: "hl-hidden", id: "hl-file", onchange: () => input.files[0] && uploadFile(input.files[0]) });
    const text = chosen.upload ? chosen.upload.name : `Drop a video or a recording here, or click to choose one (up to ${limitMb} MB)`;
    const zone = h("label", { class: "hl-drop", for: "hl-file" }, icon("upload"), h("span", {}, chosen.upload?.busy ? `Uploading ${chosen.upload.name} …` : text), input);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) uploadFile(event.dataTransfer.files[0]);
    });
    return zone;
  }

  async function uploadFile(file) {
    const before = chosen.upload;
    const problem = sizeProblem(file, limitMb, "a video file");
    if (problem) return on.problem(problem);
    chosen.upload = { name: file.name, busy: true };
    show();
    try {
      const { path } = await upload(file);
      const recorded = file.name.endsWith(".hermesrun");
      chosen.upload = { name: file.name, path, recorded };
      open(false); // shows the first frame
      on.file(recorded);
    } catch (error) {
      chosen.upload = before;
      on.problem(uploadProblem(file.name, error, limitMb));
    }
    show();
    return on.changed();
  }

  function cameraPanel() {
    if (planned) return noCamera();
    return h("p", { class: "hl-caption hl-camera-note" }, icon("camera"), h("span", {}, filming() ? "The camera is on. Press Stop to turn it off." : "Your camera stays off until you press Start."),
      h("span", {}, "Frames are sent only to the computer that runs this page and are not stored."),
      h("span", {}, ...propsNote(document.baseURI)));
  }

  /** Clip mode: explain why the webcam is not available. */
  function noCamera() {
    return h("div", { class: "hl-caption hl-camera-note" }, icon("camera"),
      h("p", {}, "The webcam is not available here, because the GPU is allocated per run and a live stream would need it permanently."),
      h("p", {}, "Choose a clip or upload a video. The webcam works on your own computer or on a Space with dedicated hardware."));
  }

  return {
    tabs,
    current,
    panel,
    show,
    close: () => open(false),
    choose,
    target,
    kind: () => kind,
    chosen: () => chosen,
    is: (view) => view.source.kind === kind && (kind !== "clip" || view.source.id === chosen.clip) && (kind !== "upload" || view.source.id === chosen.upload?.path),
    /** Whether nothing can start, because no file was uploaded. */
    isMissing: () => kind === "upload" && !chosen.upload?.path,
    /** Drop the chosen upload, which cannot be opened: select the one that plays, or let the visitor choose another (null). */
    reject(playing) {
      chosen.upload = playing;
      show();
      if (kind === "upload" && !playing) open(true);
    },
    /** Show another selection without starting it; `more` replaces entries of the selection. */
    put(name, more) {
      kind = name;
      chosen = { ...chosen, ...more };
      open(false);
      show();
      on.changed();
    },
  };
}
