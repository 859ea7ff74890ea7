// The player: source, current frame and controls of the stream. It also receives the updates from the server.
import { cameraProblem, makeCamera } from "./camera.js";
import { h, icon, setText } from "../shared/dom.js";
import { bytes, clock, percent, shortNumber } from "../shared/format.js";
import { makeRecord } from "./record.js";
import { firstRun, linkTo, makeStrip } from "../runs/replay.js";
import { onConnection, pageId } from "../page/identity.js";
import { makeReturning } from "./returning.js";
import { isComplete, makeSource } from "./source.js";
import { mainButton, makeTransport } from "./transport.js";
import { makeUpdates } from "./updates.js";
import { makeWaiting } from "./waiting.js";

/** Facts about a chosen upload {seconds, width, height, fps, bytes}, without those that are unknown. Pure. */
export function previewFacts({ seconds, width, height, fps, bytes: size }) {
  return [seconds === null ? null : clock(seconds), `${width} × ${height}`, fps === null ? null : `${shortNumber(fps)} fps`, bytes(size)].filter(Boolean).join(" · ");
}

/** What the vision tower recognises in the current frame: {name (null: nothing), confidence}. Pure. */
export function seenText({ name, confidence }) {
  return name === null ? "Seen now: no object that it knows" : `Seen now: ${name}, ${percent(confidence)}`;
}

/**
 * Build the player inside `element`. `kit`: {clips, runs, limitMb, planned, send, upload, bus, board, take, shown}; `shown` is the
 * key of the embedded moment if the page shows it already. Returns {receive(view), updates}: `updates.start(session)` connects to the
 * server; `take` receives each update.
 */
export function mountPlayer(element, { clips, runs = [], limitMb, planned, send, upload, bus, board, take, shown = null }) {
  let view = { state: "empty", source: { kind: "clip", id: clips[0]?.id ?? "" }, clock: NaN, speed: 1, received: 0, fps: 2 };
  const first = firstRun(location.search, runs);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let hidden = bus.last("page-view") === "compare"; // while Compare is shown, recordings are paused
  let resume = hidden && first !== null && !still;
  let opening = first && { n: 1, id: first.id, seconds: first.seconds, shown, play: !still && !hidden };
  let lastOpened = 1;
  let shots = 0;
  let shotAt = 0;
  let frame = -1;
  let noticeId = null;
  let poster = { n: null, url: "" }; // first frame of an upload
  let lab = 0;
  let controls = 0;
  let returned = 0;
  let before = null;

  const camera = makeCamera(
    (jpeg) => {
      shots += 1;
      shotAt = performance.now();
      send("shot", { jpeg, number: shots });
    },
    () => {
      if (performance.now() - shotAt > 3000) shots = view.received ?? 0; // a frame was lost
      return !view.waiting && shots - (view.received ?? 0) < 2;
    },
    () => Math.max(1, Math.min(10, view.fps ?? 2)),
    (problem) => say("error", problem),
  );
  const updates = makeUpdates(() => ({
    seq: board()?.acknowledged() ?? null, board: board()?.wanted() ?? null, frame, hidden: document.hidden, open: opening, page: pageId, poster: poster.n,
  }), take);
  const act = (action, more = {}) => send("act", { action, ...more });
  const soon = () => setTimeout(updates.now, 90);
  const source = makeSource({
    clips, runs, limitMb, planned, upload, first: first?.id ?? null, filming: () => camera.on,
    on: {
      run: openRun, moved, changed: draw,
      clip: () => act("choose", source.target()),
      file: (recorded) => { // a recorded run needs no model, so it plays immediately
        act(recorded ? "start" : "choose", source.target());
        if (recorded) soon();
      },
      problem: (text) => say("error", text),
    },
  });
  const transport = makeTransport({ planned, press, pace: (speed, run) => {
    act(run ? "pace" : "speed", { speed });
    soon();
  } });
  const returning = makeReturning((action) => {
    act(action);
    soon();
  });
  const waiting = makeWaiting(() => {
    if (camera.on) camera.close();
    act("leave-queue");
    soon();
  });
  onConnection(returning.lost);
  const ui = build();
  element.replaceChildren(ui.root);

  /** Open a recorded run at `seconds`, or at its default moment. The next request sends this to the server. */
  function openRun(id, seconds = null, play = true) {
    const run = runs.find((one) => one.id === id);
    if (!run) return say("error", "This run is not available here. Choose another one.");
    lastOpened += 1;
    opening = { n: lastOpened, shown: null, id, seconds: seconds ?? run.open_at ?? 0, play };
    source.chosen().run = id;
    if (source.kind() !== "run") source.choose("run");
    else source.show();
    return updates.now();
  }

  function seek(seconds) {
    act("seek", { seconds });
    soon();
  }

  /** Stream the clip of a recorded run live. */
  function goLive(clip) {
    source.chosen().clip = clip;
    source.choose("clip");
    act(planned ? "choose" : "start", source.target());
  }

  /** Called when another tab was selected: pause or stop what the previous tab showed. */
  function moved(from) {
    const kind = source.kind();
    if (from !== kind) ui.notes.hidden = true; // about the previous source
    if (from === "run" && kind !== "run" && view.run && view.state === "playing") act("pause");
    if (isComplete(kind, source.chosen())) act("choose", source.target()); // shows what questions refer to, and an upload's first frame
    if (kind !== "camera" && camera.on) {
      camera.close();
      act("stop");
    }
  }

  function build() {
    const picture = h("img", { class: "hl-picture", alt: "", decoding: "sync", hidden: true });
    const poster = h("img", { class: "hl-picture hl-poster", alt: "", hidden: true });
    const self = h("div", { class: "hl-self", hidden: true }, camera.video);
    const big = h("button", { type: "button", class: "hl-big", "aria-label": "Start the stream", onclick: () => press() }, icon("play"));
    const loading = h("div", { class: "hl-loading", hidden: true, role: "status" }, h("p"), h("div", { class: "hl-bar" }, h("i")));
    const tag = h("p", { class: "hl-tag", hidden: true }, "Model’s view");
    const facts = h("p", { class: "hl-tag hl-facts", hidden: true }, "");
    const seen = h("p", { class: "hl-tag hl-seen", hidden: true, title: "What the vision tower recognises in this frame by itself. Answers come from the memory." }, "");
    const strip = makeStrip({ compare: (clip) => bus.publish("compare", { clip, seconds: view.position ?? 0 }), point: (seconds) => bus.publish("point", seconds), seek, live: goLive, link: (run, seconds) => linkTo(location.href, { id: run.id, seconds, layer: board()?.layer() }) });
    const record = makeRecord((action) => {
      act(action);
      soon();
    });
    const notes = h("div", { class: "hl-notice", hidden: true, role: "alert" }, h("p"), h("button", { type: "button", "aria-label": "Dismiss", onclick: () => { notes.hidden = true; } }, "×"));
    const screen = h("div", { class: "hl-screen" }, poster, picture, self, tag, seen, facts, big, loading, transport.line, waiting.root, source.panel);
    const root = h("section", { class: "hl-player", "aria-label": "Stream" },
      returning.root,
      source.tabs, h("div", { class: "hl-current-row" }, source.current, record.button),
      screen,
      h("div", { class: "hl-time" }, transport.time, transport.progress, strip.slider), transport.controls, record.line, notes, strip.root);
    return { root, screen, picture, poster, self, big, loading, tag, seen, facts, notes, strip, record };
  }

  function notice(note) {
    if (!note || note.id === noticeId) return;
    noticeId = note.id;
    ui.notes.dataset.kind = note.kind;
    ui.notes.hidden = false;
    setText(ui.notes.firstChild, note.text);
  }

  /** Show a notice of the page itself. */
  function say(kind, text) {
    notice({ id: `${kind}${Date.now()}`, kind, text });
  }

  async function press(what) {
    const kind = source.kind();
    const action = what ?? mainButton(source.is(view) ? view.state : "empty", false, planned && kind !== "run").action;
    ui.notes.hidden = true;
    source.close();
    if (kind === "run") {
      if (action === "start") return openRun(source.chosen().run ?? runs[0]?.id);
      if (action === "pause" && opening) opening.play = false; // before the server has opened it
      act(action);
      return soon();
    }
    const nothing = source.isMissing();
    if (planned && action !== "stop") {
      if (kind === "camera") return say("info", "The webcam is not available here. Choose a clip or upload a video.");
      if (nothing) return say("info", "Choose a video file first.");
      bus.publish("run", source.target());
      return bus.publish("run", null); // clear it, because new listeners receive the last value
    }
    if (action === "start" || action === "restart" || (action === "resume" && kind === "camera")) {
      if (nothing) return say("info", "Choose a video file first.");
      if (kind === "camera" && !camera.on) {
        try {
          await camera.open();
        } catch (error) {
          return say("error", error.message || cameraProblem(error));
        }
        source.show();
      }
    }
    if (action === "stop" && camera.on) {
      camera.close();
      source.show();
    }
    if (action === "pause" || action === "resume") camera.hold(action === "pause");
    act(action === "restart" && !source.is(view) ? "start" : action, source.target());
    return soon(); // shows at once that the source is being opened
  }

  function draw() {
    const kind = source.kind();
    if (bus.last("selected") !== kind) bus.publish("selected", kind);
    const here = source.is(view);
    const running = view.state === "playing" || view.state === "paused";
    transport.draw(view, { kind, here, missing: source.isMissing() });
    ui.strip.draw(kind === "run" ? (view.run ? view : expected()) : null);
    ui.record.draw(view, here && kind !== "run" && !planned && view.state !== "empty");
    setText(ui.tag, kind === "run" ? "Model’s view (recorded)" : "Model’s view");
    const chosen = source.chosen();
    const upload = kind === "upload" && chosen.upload?.path && view.preview?.n === poster.n;
    const posterUrl = { clip: clips.find((clip) => clip.id === chosen.clip)?.poster, run: runs.find((run) => run.id === chosen.run)?.poster, upload: upload ? poster.url : null }[kind] ?? null;
    ui.poster.hidden = !posterUrl || (here && !ui.picture.dataset.empty);
    if (posterUrl && ui.poster.src !== posterUrl) ui.poster.src = posterUrl;
    ui.picture.hidden = !here || Boolean(ui.picture.dataset.empty);
    ui.self.hidden = !camera.on || kind !== "camera";
    ui.tag.hidden = ui.picture.hidden;
    ui.seen.hidden = ui.picture.hidden || !view.recognised;
    if (view.recognised) setText(ui.seen, seenText(view.recognised));
    ui.facts.hidden = !upload || ui.poster.hidden;
    if (upload) setText(ui.facts, previewFacts(view.preview));
    ui.big.hidden = source.isMissing() || (running && here) || Boolean(view.waiting) || Boolean(view.loading) || (here && view.state === "ended");
    const loading = kind === "run" && here ? null : view.loading;
    ui.loading.hidden = !loading;
    ui.screen.setAttribute("aria-busy", String(Boolean(loading)));
    if (loading) {
      setText(ui.loading.firstChild, loading.text);
      ui.loading.classList.toggle("is-open-ended", loading.share === null);
      ui.loading.querySelector("i").style.transform = loading.share === null ? "" : `scaleX(${loading.share})`;
    }
  }

  /** The recorded run that was requested and has not arrived yet, as an update: its place is reserved, so that the page does not move. */
  function expected() {
    const run = opening && runs.find((one) => one.id === opening.id);
    return run ? { position: opening.seconds, run: { id: run.id, title: run.title, about: run.about, label: "", seconds: run.seconds, stops: [], look: "…", clip: "" } } : null;
  }

  /** Show the frame of the update, or none before the first frame. */
  function showFrame() {
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
  }

  /** Called after a reload or a resumed stream: request chat and settings, and show the source. */
  function comeBack() {
    returned = view.returned;
    lab = view.lab ?? 0;
    send("back", {});
    const { kind, id, title } = view.source;
    if (kind === "clip" || kind === "camera") source.put(kind, kind === "clip" ? { clip: id } : {});
    if (kind === "upload") source.put(kind, { upload: { path: id, name: title } });
    if (kind === "camera" && view.state === "playing" && !camera.on) act("pause"); // the camera restarts on Resume
  }

  ui.picture.dataset.empty = "1";
  source.show();
  draw();
  if (first?.problem) notice({ id: "link", kind: "info", text: first.problem });
  if (first && first.layer !== null) bus.publish("layer", first.layer);
  bus.on("cursor", (seconds) => ui.strip.mark(seconds));
  bus.on("seek", (seconds) => Number.isFinite(seconds) && seek(seconds));
  bus.on("page-view", (name) => {
    const was = hidden;
    hidden = name === "compare";
    if (hidden === was) return;
    if (hidden) {
      resume = Boolean(view.run) && view.state === "playing";
      if (resume) act("pause");
    } else if (resume) {
      act("resume");
      soon();
    }
  });
  bus.on("replaced", () => { resume = false; }); // Compare opens another run here, paused
  bus.on("open-run", (request) => request && openRun(request.id, request.seconds));
  bus.on("source", (request) => request && source.put(request.kind, { [request.kind]: request.id })); // from a lesson
  bus.on("lesson", (on) => { // remember the source and restore it after the lesson
    if (on) {
      if (camera.on) camera.close(); // the camera is not used during lessons
      before ??= { kind: source.kind(), chosen: { ...source.chosen() } };
    } else if (before) {
      source.put(before.kind, before.chosen);
      before = null;
    }
  });

  return {
    updates,
    receive(next) {
      view = next;
      if (opening && view.opened === opening.n) opening = null;
      const another = source.kind() !== "run" || (source.chosen().run ?? "") !== view.run?.id;
      if (view.run && view.restarted && another && !opening) source.put("run", { run: view.run.id || null }); // uploaded, or from the lab
      if (view.poster) poster = { n: view.poster.n, url: `data:image/jpeg;base64,${view.poster.jpeg}` };
      if ((view.returned ?? 0) !== returned) comeBack();
      else if ((view.controls ?? 0) !== controls) send("back", {}); // settings were adjusted to the source
      controls = view.controls ?? 0;
      if (view.rejected && view.rejected === source.chosen().upload?.path) {
        source.reject(view.source.kind === "upload" && view.state !== "empty" ? { path: view.source.id, name: view.source.title } : null);
      }
      returning.draw(view);
      waiting.draw(view);
      showFrame();
      if (camera.on && (view.state === "ended" || view.state === "failed") && view.source.kind === "camera") camera.close();
      notice(view.notice);
      draw();
      if ((view.lab ?? 0) > lab) bus.publish("lab", view.lab); // an uploaded lab run opens in the lab
      lab = view.lab ?? 0;
      bus.publish("view", view);
    },
  };
}
