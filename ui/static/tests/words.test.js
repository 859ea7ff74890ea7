import assert from "node:assert/strict";
import test from "node:test";
import { bytes, clock, count, percent, shortNumber, whole } from "../js/shared/format.js";
import { cameraProblem, sendSize } from "../js/player/camera.js";
import { mergeTurns, pickChips, turnOf } from "../js/chat/turns.js";
import { previewFacts, seenText } from "../js/player/player.js";
import { isComplete, propsAddress } from "../js/player/source.js";
import { offerText } from "../js/player/returning.js";
import { mainButton, stateLine } from "../js/player/transport.js";
import { queueText } from "../js/player/waiting.js";
import { parseColour, shareAlpha } from "../js/shared/palette.js";
import { BUSY_MS, HIDDEN_MS, IDLE_MS, LOST_MS, makePulse, pause } from "../js/shared/pulse.js";
import { describeBoard, describeCell, describeOutside, describeReading, frameTime, speakNote } from "../js/board/descriptions.js";

test("formatting of times, sizes and shares", () => {
  assert.equal(clock(7.46, true), "0:07.5");
  assert.equal(clock(59.97, true), "1:00.0");
  assert.equal(clock(3723), "1:02:03");
  assert.equal(clock(null), "–:––");
  assert.equal(bytes(999), "999 B");
  assert.equal(bytes(2_690_000), "2.69 MB");
  assert.equal(bytes(1_500_000_000), "1.5 GB");
  assert.equal(shortNumber(47.84), "47.8");
  assert.equal(whole(12345.6), "12,346");
  assert.equal(percent(0.0002), "under 0.1 %");
  assert.equal(percent(0.026), "2.6 %");
  assert.equal(percent(0.5), "50 %");
  assert.equal(count(1, "frame"), "1 frame");
});

const STATE = {
  meta: { layers: 2, tiers: [0, 2], columns: 4, bin: 1, tokens_per_frame: 9 }, frames: 2, times: new Float32Array([0, 0.5, NaN, NaN]),
  kept: new Uint8Array([9, 9, 0, 0, 3, 9, 0, 0]), answer: null,
};

test("tooltip of a cell: frame, time, layer, tier and tokens kept", () => {
  const { title, lines } = describeCell(STATE, { column: 0, layer: 1 });
  assert.equal(title, "Frame 1 · 0:00.0");
  assert.deepEqual(lines, ["Layer 1 · long-term", "keeps 3 of 9 tokens"]);
  assert.equal(speakNote(describeCell(STATE, { column: 1, layer: 0 })), "Frame 2 at 0:00.5. Layer 0 · sensory, keeps 9 of 9 tokens.");
});

test("layers keep their number in the decoder, and the board says which ones hold no tokens", () => {
  const meta = { ...STATE.meta, numbers: [3, 7], state_layers: 6, state_bytes: 48_000_000 };
  assert.equal(describeCell({ ...STATE, meta }, { column: 0, layer: 1 }).lines[0], "Layer 7 · long-term");
  assert.equal(describeBoard({ ...STATE, meta, meters: null }), "2 frames seen, 9 tokens each, in 2 layers. The 6 other layers of the decoder hold no tokens: they use linear attention, with a state of fixed size (48 MB) that takes in every frame and is not managed.");
  assert.equal(describeBoard({ ...STATE, meters: null }), "2 frames seen, 9 tokens each, in 2 layers.");
});

test("description of an answer's attention, also without attention on frames", () => {
  const answer = { columns: 2, attention: new Uint8Array(4), largest: [0, 0], rest: { prompt: 0.75, text: 0.25, summary: 0 }, peaks: [] };
  assert.match(describeReading({ ...STATE, answer }), /attended to no frame/);
  const read = { ...answer, rest: { prompt: 0.2, text: 0.1, summary: 0.05 }, peaks: [{ frame: 1, share: 0.4, jpeg: null }] };
  assert.match(describeReading({ ...STATE, answer: read }), /30 % went to the prompt and to text and 5 % to summary tokens/);
  assert.equal(frameTime(STATE, 1), 0.5);
});

test("the main button follows the stream", () => {
  assert.equal(mainButton("playing", false).action, "pause");
  assert.equal(mainButton("paused", false).action, "resume");
  assert.equal(mainButton("ended", false).action, "restart");
  assert.equal(mainButton("failed", false).action, "start");
  assert.equal(stateLine({ state: "empty", loading: { text: "Opening the video …", share: null } }), "Starting");
  assert.equal(stateLine({ state: "ended", freed: true }), "Finished. Its memory was freed for others");
  assert.equal(stateLine({ state: "failed", freed: true }), "Stopped by an error");
  assert.equal(stateLine({ state: "playing", behind: 2.34 }), "Streaming · the model is 2.3 s behind");
});

test("the offer to resume a saved stream names the reason", () => {
  const saved = { title: "A clip", seconds: 65, questions: 1, minutes: 0 };
  assert.equal(offerText(saved), "The server was restarted. Your stream “A clip” was saved at 1:05 with 1 question, less than a minute ago.");
  assert.match(offerText({ ...saved, failed: true }), /^The machine that ran your stream has failed\. Your stream “A clip” was saved/);
});

test("camera errors are explained", () => {
  assert.match(cameraProblem({ name: "NotAllowedError" }), /denied/);
  assert.match(cameraProblem({ name: "NotFoundError" }), /No camera/);
  assert.match(cameraProblem(null, false), /https/);
  assert.deepEqual(sendSize(1920, 1080), [448, 252]);
  assert.deepEqual(sendSize(320, 240), [320, 240]);
});

test("turns are merged by their number; a new epoch starts empty", () => {
  const first = mergeTurns([], 1, { epoch: 1, turns: [{ id: 1, answer: "a" }] });
  const second = mergeTurns(first, 1, { epoch: 1, turns: [{ id: 1, answer: "ab" }, { id: 2, answer: "" }] });
  assert.deepEqual(second.map((turn) => turn.answer), ["ab", ""]);
  assert.equal(mergeTurns(second, 1, { epoch: 2, turns: [] }).length, 0);
});

test("suggested questions follow the clock, a few at a time", () => {
  const chips = [0, 5, 10, 15, 20, 25, 30, 35].map((at) => ({ text: `at ${at}?`, at }));
  const times = (seconds) => pickChips(chips, seconds).map((chip) => (chip.due ? chip.at : -chip.at));
  assert.deepEqual(times(null), [0, -5, -10, -15]);
  assert.deepEqual(times(12), [0, 5, 10, -15]);
  assert.deepEqual(times(26), [15, 20, 25, -30]);
  assert.deepEqual(times(99), [20, 25, 30, 35]);
  assert.deepEqual(pickChips([], 3), []);
});

test("colours are read and one token stays visible", () => {
  assert.deepEqual(parseColour("#0b9a86"), [11, 154, 134]);
  assert.deepEqual(parseColour("rgb(1, 2, 3)"), [1, 2, 3]);
  assert.equal(shareAlpha(0), 0);
  assert.ok(shareAlpha(1 / 36) > 0.2 && shareAlpha(1) === 1);
});

test("the pulse is quick when busy, slow when idle, slower when hidden, and never doubles", () => {
  assert.equal(pause({ state: "playing" }, false), BUSY_MS);
  assert.equal(pause({ state: "ended" }, false), IDLE_MS);
  assert.equal(pause({ state: "playing" }, true), HIDDEN_MS);
  const timers = new Map();
  let next = 0;
  const clockwork = { setTimeout: (f, ms) => (timers.set(++next, [f, ms]), next), clearTimeout: (id) => timers.delete(id) };
  let asked = 0;
  const pulse = makePulse(() => { asked += 1; }, clockwork, () => false);
  pulse.start();
  assert.equal(asked, 1);
  assert.deepEqual([...timers.values()].map(([, ms]) => ms), [LOST_MS]);
  pulse.heard({ state: "playing" });
  assert.deepEqual([...timers.values()].map(([, ms]) => ms), [BUSY_MS]);
  [...timers.values()][0][0]();
  assert.equal(asked, 2);
  assert.equal(timers.size, 1);
});

test("description of archives and of heads with their own tokens", () => {
  assert.equal(describeOutside(undefined), "");
  assert.equal(describeOutside({ archive: 0, moved: 0, by_head: false }), "");
  assert.equal(
    describeOutside({ archive: 2_000_000, moved: 1500, by_head: true }),
    " 2 MB are archived outside the cache. The last question fetched 1.5 kB from the archive. "
      + "Each head keeps its own tokens; cells show the mean.",
  );
});

test("the verdict on an answer finds its turn, and waits for one that has not arrived", () => {
  const turn = (id, more) => ({ id, question: "First? ", answer: "Red.", state: "done", ...more });
  const told = { question: "First?", answer: " Red." };
  const none = () => undefined;
  assert.equal(turnOf([], told, "k", none), undefined);
  assert.equal(turnOf([turn(1), turn(2)], told, "k", none).id, 2);
  assert.equal(turnOf([turn(1), turn(2, { state: "writing" })], told, "k", none).id, 1);
  assert.equal(turnOf([turn(1, { answer: "Blue." }), turn(2, { question: "Last?" })], told, "k", none), undefined);
  assert.equal(turnOf([turn(1, { answer: "R", state: "stopped" })], told, "k", none).id, 1);
  const has = ({ id }) => ({ 1: "old", 2: "k" })[id];
  assert.equal(turnOf([turn(1)], told, "k", has), undefined); // asked again: the new turn is still on its way
  assert.equal(turnOf([turn(1), turn(3)], told, "k", has).id, 3);
  assert.equal(turnOf([turn(2)], told, "k", has).id, 2); // told again
  assert.equal(turnOf([turn(2), turn(3)], told, "k", has).id, 3); // asked again of a stream that stands still: the same key
});

test("the place in the queue in words", () => {
  assert.equal(queueText({ place: 1, of: 1 }), "You are next.");
  assert.equal(queueText({ place: 1, of: 4 }), "You are next of 4 in the queue.");
  assert.equal(queueText({ place: 3, of: 4 }), "You are number 3 of 4 in the queue.");
});

test("the facts of a chosen upload leave out what is unknown", () => {
  assert.equal(previewFacts({ seconds: 83.2, width: 640, height: 480, fps: 29.97, bytes: 1_250_000 }), "1:23 · 640 × 480 · 30 fps · 1.25 MB");
  assert.equal(previewFacts({ seconds: null, width: 640, height: 480, fps: null, bytes: 400 }), "640 × 480 · 400 B");
});

test("what the tower recognises, with its confidence", () => {
  assert.equal(seenText({ name: "cup", confidence: 0.81 }), "Seen now: cup, 81 %");
  assert.equal(seenText({ name: null, confidence: 0.3 }), "Seen now: no object that it knows");
});

test("which selections the server can prepare", () => {
  const chosen = { clip: "first-card", upload: { name: "film.mp4", path: "/uploads/film.mp4" } };
  assert.deepEqual(["run", "clip", "upload", "camera"].map((kind) => isComplete(kind, chosen)), [false, true, true, true]);
  assert.equal(isComplete("upload", { clip: null, upload: { ...chosen.upload, recorded: true } }), false);
  const none = { clip: null, upload: { name: "film.mp4", busy: true } };
  assert.deepEqual(["run", "clip", "upload", "camera"].map((kind) => isComplete(kind, none)), [false, false, false, true]);
});

test("the address of the props for a phone", () => {
  assert.deepEqual(propsAddress("https://demo.example/app/"), { url: "https://demo.example/app/props", local: false, text: "https://demo.example/app/props" });
  assert.deepEqual(propsAddress("http://127.0.0.1:7860/?run=none"), { url: "http://127.0.0.1:7860/props", local: true, text: "http://…:7860/props" });
});
