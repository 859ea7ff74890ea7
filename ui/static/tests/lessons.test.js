import assert from "node:assert/strict";
import test from "node:test";
import { cacheCost, span } from "../js/lessons/calculator.js";
import { verdict } from "../js/lessons/step.js";
import { placeOf } from "../js/lessons/pointing.js";
import { address, finished, linked, predictions, reached, revealed, statusOf } from "../js/lessons/progress.js";
import { leadingPunctuation, parseRich, plain } from "../js/lessons/text.js";
import { firstTerms, formsOf, pattern } from "../js/lessons/terms.js";

test("glossary terms and values are extracted from a text", () => {
  assert.deepEqual(parseRich("The [[KV cache]] takes **5 kB** here."), [
    { kind: "text", text: "The " }, { kind: "term", text: "KV cache" }, { kind: "text", text: " takes " },
    { kind: "strong", text: "5 kB" }, { kind: "text", text: " here." },
  ]);
  assert.equal(plain("A [[token]], **16** of them"), "A token, 16 of them");
  assert.deepEqual(parseRich("a [[b"), [{ kind: "text", text: "a [[b" }]);
});

test("punctuation stays with the word before it", () => {
  assert.deepEqual(leadingPunctuation(", which"), [",", " which"]);
  assert.deepEqual(leadingPunctuation(" and"), ["", " and"]);
  assert.deepEqual(leadingPunctuation("."), [".", ""]);
});

const TERMS = [
  { term: "token", forms: ["tokens"], meaning: "t" }, { term: "summary token", forms: [], meaning: "s" },
  { term: "key", forms: ["keys"], meaning: "k", auto: false },
];

test("terms match whole words, the longest first, each once; some are never marked automatically", () => {
  const forms = formsOf(TERMS);
  const seen = new Set();
  const found = firstTerms("Summary token beats Tokens and tokens; tokenizer, keys.", forms, pattern(TERMS), seen);
  assert.deepEqual(found.map(({ start, end, term }) => [start, end, term.term]), [[0, 13, "summary token"], [20, 26, "token"]]);
  assert.deepEqual(firstTerms("tokens", forms, pattern(TERMS), seen), []);
  assert.equal(forms.get("keys").term, "key");
  assert.equal(pattern([TERMS[2]]), null);
});

test("a guess is judged by what was measured", () => {
  assert.equal(verdict([false, true], 1).kind, "right");
  assert.equal(verdict([false, true], 0).kind, "wrong");
  assert.equal(verdict([false, false], 0).kind, "open");
});

const LESSONS = [{ id: "a", minutes: 5, steps: [1, 2, 3] }, { id: "b", minutes: 7, steps: [1, 2] }];

test("a link names a lesson and a step; invalid steps are clamped", () => {
  assert.deepEqual(linked("?lesson=b&step=2", LESSONS), { lesson: LESSONS[1], step: 1 });
  assert.deepEqual(linked("?lesson=a", LESSONS), { lesson: LESSONS[0], step: 0 });
  assert.equal(linked("?lesson=a&step=99", LESSONS).step, 2);
  assert.equal(linked("?lesson=a&step=zero", LESSONS).step, 0);
  assert.equal(linked("?lesson=none", LESSONS), null);
  assert.equal(address("http://x/?__theme=dark", LESSONS[0], 1), "http://x/?__theme=dark&lesson=a&step=2");
  assert.equal(address("http://x/?lesson=a&step=2", null, 0), "http://x/");
});

test("the list shows the progress", () => {
  let progress = {};
  assert.equal(statusOf(progress, LESSONS[0]), "5 minutes");
  progress = reached(progress, "a", 1);
  assert.equal(statusOf(progress, LESSONS[0]), "Step 2 of 3");
  progress = finished(progress, LESSONS[0]);
  assert.equal(statusOf(progress, LESSONS[0]), "Done");
  progress = reached(progress, "a", 2);
  assert.equal(progress.a.done, true);
});

test("cost of a stream", () => {
  const model = { bytes_per_token: { float16: 57_344, float32: 114_688 } };
  const hour = cacheCost(model, { dtype: "float16", tokens: 196, minutes: 60, fps: 1 }, 8e9);
  assert.equal(hour.bytes, 57_344 * 196 * 3600);
  assert.equal(hour.frames, 3600);
  assert.ok(Math.abs(hour.fullAfter - 8e9 / (57_344 * 196)) < 1e-6);
  assert.equal(cacheCost(model, { dtype: "float32", tokens: 196, minutes: 60, fps: 1 }, 8e9).bytes, 2 * hour.bytes);
  assert.equal(cacheCost(model, { dtype: "float16", tokens: 10, minutes: 1, fps: 0.5 }, 8e9).frames, 30);
  const state = cacheCost({ state_bytes: { float16: 86_638_592 } }, { dtype: "float16", tokens: 144, minutes: 1440, fps: 1 }, 8e9);
  assert.equal(state.bytes, 86_638_592);
  assert.equal(state.tokens, 144 * 86_400);
  assert.equal(span(state.fullAfter), "never");
  assert.equal(span(35), "35 seconds");
  assert.equal(span(3600 * 2 + 300), "2 hours 5 minutes");
  assert.equal(span(3600 * 72), "3 days");
  assert.equal(span(Infinity), "never");
});

test("selectors of highlighted parts", () => {
  assert.deepEqual(placeOf("layers"), ['[data-view="layers"]', ".hl-board"]);
  assert.deepEqual(placeOf("chat"), ['[data-view="chat"]', ".hl-chat"]);
});

test("a lesson is done once a result was revealed, or if it has no predictions here", () => {
  const lesson = { id: "x", steps: [{ choices: ["a", "b"] }, { choices: [] }, { choices: ["a", "b"] }] };
  assert.deepEqual(predictions({}, lesson), { of: 2, shown: 0, next: 0 });
  assert.equal(finished({}, lesson).x.done, false);
  let progress = revealed(reached({}, "x", 2), "x", 2);
  progress = revealed(progress, "x", 2);
  assert.deepEqual(predictions(progress, lesson), { of: 2, shown: 1, next: 0 });
  assert.deepEqual(finished(progress, lesson).x, { step: 0, done: true, revealed: [2] });
  assert.deepEqual(predictions(revealed(progress, "x", 0), lesson), { of: 2, shown: 2, next: -1 });
  assert.equal(finished({}, { id: "x", steps: [{}] }).x.done, true);
  assert.equal(finished({ x: { step: 1, done: true, revealed: "damaged" } }, lesson).x.done, true);
});
