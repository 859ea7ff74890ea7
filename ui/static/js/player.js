// The stream: where it comes from, the newest frame that the model has seen, and the controls.
import { cameraProblem, makeCamera } from "./camera.js";
import { h, icon, radioKeys, setText } from "./dom.js";
import { clock, whole } from "./format.js";
import { makePulse } from "./pulse.js";
import { makeRecord } from "./record.js";
import { RUN_SPEEDS, firstRun, linkTo, makeStrip, runPanel } from "./replay.js";

const SOURCES = [["run", "Recorded"], ["clip", "Clips"], ["upload", "Upload"], ["camera", "Webcam"]];
const SPEEDS = [1, 2, 4, 0]; // 0: as fast as the model can

/** What the main button says and does in a state; a planned run can only be stopped. Pure. */
export function mainButton(state, fresh, planned = false) {
  if (planned) return state === "playing" ? { action: "stop", label: "Stop", icon: "stop" } : { action: "start", label: "Run", icon: "play" };
  if (state === "playing") return { action: "pause", label: "Pause", icon: "pause" };
  if (state === "paused") return { action: "resume", label: "Resume", icon: "play" };
  if (state === "ended" && !fresh) return { action: "restart", label: "Play again", icon: "restart" };
  return { action: "start", label: "Start", icon: "play" };
}

/** One line about the stream's state. Pure. */
export function stateLine(view, planned = false) {
  if (view.run) return { playing: "Replaying", paused: "Replay paused", ended: "The run is over" }[view.state] ?? "Ready";
  if (planned) return { playing: "Running", ended: "Ended · change the questions and run again", failed: "Stopped by a problem" }[view.state] ?? "Ready";
  if (view.loading) return "Starts as soon as the model is ready";
  const behind = view.behind >= 1 && view.state === "playing" ? ` · the model is ${view.behind.toFixed(1)} s behind` : "";
  const lines = {
    empty: "Ready", playing: `Streaming${behind}`, paused: "Paused · the memory stays", ended: "Ended · the memory stays, go on asking",
    failed: "Stopped by a problem",
  };
  return lines[view.state] ?? "";
}

/** Build the player inside `element`. `kit`: {clips, limit_mb, send, upload, bus}. Returns {receive(view), pulse}. */
export function mountPlayer(element, { clips, runs = [], limitMb, planned, send, upload, bus, board }) {
  let view = { state: "empty", source: { kind: "clip", id: clips[0]?.id ?? "" }, clock: NaN, speed: 1, received: 0, fps: 2 };
  const first = firstRun(location.search, runs);
  let kind = first ? "run" : clips.length ? "clip" : "upload";
  let chosen = { clip: clips[0]?.id ?? null, upload: null, run: first?.id ?? null };
  let opening = first && { n: 1, id: first.id, seconds: first.seconds, play: !matchMedia("(prefers-reduced-motion: reduce)").matches };
  let lastOpened = 1;
  let speeds = null;
  let shots = 0;
  let shotAt = 0;
  let frame = -1;
  let noticeId = null;
  let before = null;

  const ui = build();
  element.replaceChildren(ui.root);
  const roamSpeeds = radioKeys(ui.speed);

  const camera = makeCamera(
    (jpeg) => {
      shots += 1;
      shotAt = performance.now();
      send("shot", { jpeg, number: shots });
    },
    () => {
      if (performance.now() - shotAt > 3000) shots = view.received ?? 0; // one got lost on its way
      return shots - (view.received ?? 0) < 2;
    },
    () => Math.max(1, Math.min(10, view.fps ?? 2)),
    (problem) => notice({ id: `camera${Date.now()}`, kind: "error", text: problem }),
  );
  ui.self.append(camera.video);

  const pulse = makePulse(() => send("poll", {
    seq: board()?.acknowledged() ?? null, board: board()?.wanted() ?? null, frame, hidden: document.hidden, open: opening,
  }));
  const act = (action, more = {}) => send("act", { action, ...more });
  const soon = () => setTimeout(pulse.now, 90);

  /** Show a recorded run; the next word to the server says so. */
  function openRun(id, seconds = 0, play = true) {
    if (!runs.some((run) => run.id === id)) return notice({ id: `r${Date.now()}`, kind: "error", text: "This run is not bundled here. Choose another one." });
    lastOpened += 1;
    opening = { n: lastOpened, id, seconds, play };
    chosen.run = id;
    if (kind !== "run") choose("run");
    return pulse.now();
  }

  function seek(seconds) {
    act("seek", { seconds });
    soon();
  }

  /** Stream the clip of a run through the model now. */
  function goLive(clip) {
    chosen.clip = clip;
    choose("clip");
    act(planned ? "choose" : "start", target());
  }

  function build() {
    const tabs = SOURCES.map(([name, label]) => h("button", { type: "button", role: "tab", id: `hl-tab-${name}`, "aria-controls": "hl-source", onclick: () => choose(name) }, label));
    const picture = h("img", { class: "hl-picture", alt: "", decoding: "sync", hidden: true });
    const poster = h("img", { class: "hl-picture hl-poster", alt: "", hidden: true });
    const self = h("div", { class: "hl-self", hidden: true });
    const big = h("button", { type: "button", class: "hl-big", "aria-label": "Start the stream", onclick: () => press() }, icon("play"));
    const loading = h("div", { class: "hl-loading", hidden: true, role: "status" }, h("p"), h("div", { class: "hl-bar" }, h("i")));
    const tag = h("p", { class: "hl-tag", hidden: true }, "as the model sees it");
    const time = h("p", { class: "hl-clock", "aria-label": "Stream clock" }, h("span", {}, "–:––"), h("small", {}, ""));
    const line = h("p", { class: "hl-state", role: "status" }, "Ready");
    const progress = h("div", { class: "hl-progress", "aria-hidden": "true" }, h("i"));
    const main = h("button", { type: "button", class: "hl-button is-main", onclick: () => press() }, icon("play"), h("span", {}, "Start"));
    const stop = h("button", { type: "button", class: "hl-button", disabled: true, onclick: () => press("stop") }, icon("stop"), h("span", {}, "Stop"));
    const restart = h("button", { type: "button", class: "hl-button", disabled: true, title: "Empty the memory and start from the beginning", onclick: () => press("restart") }, icon("restart"), h("span", {}, "Restart"));
    const speed = h("div", { class: "hl-segments is-small", role: "radiogroup", "aria-label": "Speed" });
    const strip = makeStrip({ seek, live: goLive, link: (run, seconds) => linkTo(location.href, { id: run.id, seconds, layer: board()?.layer() }) });
    const record = makeRecord((action) => {
      act(action);
      soon();
    });
    const notes = h("div", { class: "hl-notice", hidden: true, role: "alert" }, h("p"), h("button", { type: "button", "aria-label": "Dismiss", onclick: () => { notes.hidden = true; } }, "×"));
    const source = h("div", { class: "hl-source", id: "hl-source", role: "tabpanel" });
    const root = h("section", { class: "hl-player", "aria-label": "Stream" },
      h("div", { class: "hl-top-row" }, h("div", { class: "hl-segments", role: "tablist", "aria-label": "Source" }, tabs), h("div", { class: "hl-top-right" }, line, record.button)),
      h("div", { class: "hl-stage" }, h("div", { class: "hl-screen" }, poster, picture, self, tag, big, loading), h("div", { class: "hl-side" }, source)),
      progress, strip.slider,
      h("div", { class: "hl-controls" }, h("div", { class: "hl-when" }, time), h("div", { class: "hl-buttons" }, main, stop, restart), speed),
      record.line, notes, strip.root);
    return { root, tabs, source, picture, poster, self, big, loading, tag, time, line, progress, main, stop, restart, speed, notes, strip, record };
  }

  function notice(note) {
    if (!note || note.id === noticeId) return;
    noticeId = note.id;
    ui.notes.dataset.kind = note.kind;
    ui.notes.hidden = false;
    setText(ui.notes.firstChild, note.text);
  }

  /** The speeds that fit what is chosen: a run has its own. */
  function showSpeeds() {
    const offered = kind === "run" ? RUN_SPEEDS : SPEEDS;
    if (speeds?.offered !== offered) {
      speeds = { offered, nodes: offered.map((speed) => h("button", {
        type: "button", role: "radio", title: speed ? null : "As fast as the model can",
        onclick: () => {
          act(kind === "run" ? "pace" : "speed", { speed });
          soon();
        },
      }, speed ? `${speed}×` : "Max")) };
      ui.speed.replaceChildren(...speeds.nodes);
    }
    speeds.nodes.forEach((node, i) => node.setAttribute("aria-checked", String(speeds.offered[i] === view.speed)));
    roamSpeeds();
  }

  function target() {
    if (kind === "camera" || kind === "run") return { kind };
    return kind === "clip" ? { kind, id: chosen.clip } : { kind, path: chosen.upload?.path, name: chosen.upload?.name };
  }

  const sameSource = () => view.source.kind === kind && (kind !== "clip" || view.source.id === chosen.clip)
    && (kind !== "upload" || view.source.id === chosen.upload?.path);

  async function press(what) {
    const action = what ?? mainButton(sameSource() ? view.state : "empty", false, planned && kind !== "run").action;
    ui.notes.hidden = true;
    if (kind === "run") {
      if (action === "start") return openRun(chosen.run ?? runs[0]?.id);
      act(action);
      return soon();
    }
    if (planned && action !== "stop") {
      if (kind === "camera") return notice({ id: `p${Date.now()}`, kind: "info", text: "Choose a clip or upload a video: the webcam cannot be used here." });
      if (kind === "upload" && !chosen.upload?.path) return notice({ id: `u${Date.now()}`, kind: "info", text: "Choose a video file first." });
      bus.say("run", target());
      return bus.say("run", null); // told once, also to a list that is built anew
    }
    if (action === "start" || action === "restart") {
      if (kind === "upload" && !chosen.upload) return notice({ id: `u${Date.now()}`, kind: "info", text: "Choose a video file first." });
      if (kind === "camera" && !camera.on) {
        try {
          await camera.open();
        } catch (error) {
          return notice({ id: `c${Date.now()}`, kind: "error", text: error.message || cameraProblem(error) });
        }
        showSource();
      }
    }
    if (action === "stop" && camera.on) {
      camera.close();
      showSource();
    }
    if (action === "pause" || action === "resume") camera.hold(action === "pause");
    act(action === "restart" && !sameSource() ? "start" : action, target());
    return undefined;
  }

  function choose(name) {
    if (kind === "run" && name !== "run" && view.run && view.state === "playing") act("pause");
    kind = name;
    if (planned && name === "clip") act("choose", target()); // its questions fill the plan
    if (name !== "camera" && camera.on) {
      camera.close();
      act("stop");
    }
    showSource();
    draw();
  }

  bus.on("source", (wish) => { // a lesson plays something
    if (!wish) return;
    chosen[wish.kind] = wish.id;
    kind = wish.kind;
    showSource();
    draw();
  });
  bus.on("lesson", (on) => { // its stream stands in for what was shown, which comes back with the choice of before
    if (on) {
      if (camera.on) camera.close(); // it would film for nobody
      before ??= { kind, chosen: { ...chosen } };
    } else if (before) {
      ({ kind, chosen } = before);
      before = null;
      showSource();
      draw();
    }
  });

  function showSource() {
    SOURCES.forEach(([name], i) => {
      ui.tabs[i].setAttribute("aria-selected", name === kind);
      ui.tabs[i].tabIndex = name === kind ? 0 : -1;
      if (name === kind) ui.source.setAttribute("aria-labelledby", ui.tabs[i].id);
    });
    const panels = { run: () => runPanel(runs, chosen.run, openRun), clip: clipPanel, upload: uploadPanel, camera: cameraPanel };
    ui.source.replaceChildren(panels[kind]());
  }

  function clipPanel() {
    if (!clips.length) return h("p", { class: "hl-caption" }, "No clips are bundled with this copy. Upload a video, or use the webcam.");
    const cards = clips.map((clip) => h("button", {
      type: "button", role: "radio", class: "hl-clip", "aria-checked": clip.id === chosen.clip ? "true" : "false",
      onclick: () => {
        chosen.clip = clip.id;
        cards.forEach((card, i) => card.setAttribute("aria-checked", clips[i].id === clip.id));
        roam();
        draw();
        act("choose", target());
      },
    }, clip.poster ? h("img", { src: clip.poster, alt: "" }) : h("span", { class: "hl-clip-blank" }),
    h("span", {}, clip.title, h("b", {}, clock(clip.seconds))), h("small", {}, clip.about)));
    const group = h("div", { class: "hl-clips", role: "radiogroup", "aria-label": "Clips" }, cards);
    const roam = radioKeys(group);
    return group;
  }

  function uploadPanel() {
    const input = h("input", { type: "file", accept: "video/*,.hermesrun", class: "hl-hidden", id: "hl-file", onchange: () => input.files[0] && take(input.files[0]) });
    const text = chosen.upload ? chosen.upload.name : `Drop a video or a recorded run here, or choose one (up to ${limitMb} MB)`;
    const zone = h("label", { class: "hl-drop", for: "hl-file" }, icon("upload"), h("span", {}, chosen.upload?.busy ? `Uploading ${chosen.upload.name} …` : text), input);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
    return zone;
  }

  async function take(file) {
    const before = chosen.upload;
    if (file.size > limitMb * 1e6) return notice({ id: `u${Date.now()}`, kind: "error", text: `${file.name} has ${whole(file.size / 1e6)} MB; up to ${limitMb} MB are taken.` });
    if (!file.size) return notice({ id: `u${Date.now()}`, kind: "error", text: `${file.name} is empty. Choose a video file.` });
    chosen.upload = { name: file.name, busy: true };
    showSource();
    try {
      const { path } = await upload(file);
      chosen.upload = { name: file.name, path };
      const recorded = file.name.endsWith(".hermesrun"); // a run needs no model, so it plays at once
      act(recorded ? "start" : "choose", target());
      if (recorded) soon();
    } catch {
      chosen.upload = before;
      notice({ id: `u${Date.now()}`, kind: "error", text: `${file.name} could not be uploaded. Check the connection, then try again.` });
    }
    showSource();
    return draw();
  }

  function cameraPanel() {
    if (planned) return noCamera();
    return h("p", { class: "hl-caption hl-camera-note" }, icon("camera"), h("span", {}, camera.on ? "The camera is on. Press Stop to switch it off." : "Your camera stays off until you press Start."),
      h("span", {}, "Its frames go only to the computer that runs this page, and are not stored."));
  }

  /** Clip mode: why there is no webcam. */
  function noCamera() {
    return h("div", { class: "hl-caption hl-camera-note" }, icon("camera"),
      h("p", {}, "The webcam cannot be used here: a GPU is lent for one run at a time, and a live stream would need it all the while."),
      h("p", {}, "Choose a clip or upload a video. On a computer of your own, or a Space with its own hardware, the webcam works."));
  }

  function draw() {
    const here = sameSource();
    const fresh = !here;
    const button = mainButton(here ? view.state : "empty", fresh, planned && kind !== "run");
    setText(ui.main.lastChild, button.label);
    if (ui.main.dataset.icon !== button.icon) {
      ui.main.dataset.icon = button.icon;
      ui.main.firstChild.replaceWith(icon(button.icon));
    }
    const running = view.state === "playing" || view.state === "paused";
    ui.stop.disabled = !running;
    ui.restart.disabled = !here || view.state === "empty";
    ui.restart.hidden = planned && kind !== "run"; // the main button does it
    ui.stop.hidden = planned || kind === "run";
    ui.speed.hidden = (planned && kind !== "run") || kind === "camera";
    showSpeeds();
    ui.strip.draw(kind === "run" ? view : null);
    ui.progress.hidden = !ui.strip.slider.hidden;
    ui.record.draw(view, here && kind !== "run" && !planned && view.state !== "empty");
    setText(ui.tag, kind === "run" ? "recorded, as the model saw it" : "as the model sees it");
    setText(ui.time.firstChild, clock(here ? view.position ?? view.clock : NaN, true));
    setText(ui.time.lastChild, here && view.duration ? ` / ${clock(view.duration)}` : "");
    setText(ui.line, here || view.loading ? stateLine(view, planned) : "Ready");
    ui.main.disabled = Boolean(view.loading);
    const share = here && view.duration ? Math.min(1, (view.clock || 0) / view.duration) : 0;
    ui.progress.firstChild.style.transform = `scaleX(${Number.isFinite(share) ? share : 0})`;
    const clip = clips.find((item) => item.id === chosen.clip);
    const posterUrl = { clip: clip?.poster, run: runs.find((run) => run.id === chosen.run)?.poster }[kind] ?? null;
    ui.poster.hidden = !posterUrl || (here && !ui.picture.dataset.empty);
    if (posterUrl && ui.poster.src !== posterUrl) ui.poster.src = posterUrl;
    ui.picture.hidden = !here || Boolean(ui.picture.dataset.empty);
    ui.self.hidden = !camera.on || kind !== "camera";
    ui.tag.hidden = ui.picture.hidden;
    ui.big.hidden = running && here || Boolean(view.loading) || (here && view.state === "ended");
    ui.loading.hidden = !view.loading;
    if (view.loading) {
      setText(ui.loading.firstChild, view.loading.text);
      ui.loading.querySelector("i").style.transform = `scaleX(${view.loading.share})`;
    }
  }

  ui.picture.dataset.empty = "1";
  ui.tabs[0].parentElement.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const offered = SOURCES.filter(([name]) => name !== "run" || runs.length);
    const at = offered.findIndex(([name]) => name === kind);
    choose(offered[(at + step + offered.length) % offered.length][0]);
    ui.tabs.find((tab) => tab.tabIndex === 0).focus();
  });
  ui.tabs[0].hidden = !runs.length;
  showSource();
  draw();
  if (first?.problem) notice({ id: "link", kind: "info", text: first.problem });
  if (first && first.layer !== null) bus.say("layer", first.layer);
  bus.on("seek", (seconds) => Number.isFinite(seconds) && seek(seconds));
  bus.on("open-run", (wish) => wish && openRun(wish.id, wish.seconds));

  return {
    pulse,
    receive(next) {
      view = next;
      if (opening && view.opened === opening.n) opening = null;
      if (view.run && view.restarted && kind !== "run") { // a file with a run was uploaded
        chosen.run = view.run.id || null;
        kind = "run";
        showSource();
      }
      if (view.restarted) frame = -1;
      if (view.frame) {
        frame = view.frame.index;
        ui.picture.src = `data:image/jpeg;base64,${view.frame.jpeg}`;
        ui.picture.alt = `Frame ${frame + 1} as the model has seen it, at ${clock(view.clock)}`;
        delete ui.picture.dataset.empty;
      } else if (!view.frames) {
        frame = -1;
        ui.picture.dataset.empty = "1";
      }
      if (camera.on && (view.state === "ended" || view.state === "failed") && view.source.kind === "camera") camera.close();
      notice(view.notice);
      draw();
      bus.say("view", view);
      pulse.heard(view);
    },
  };
}
