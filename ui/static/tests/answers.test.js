import assert from "node:assert/strict";
import test from "node:test";
import { answerOf, makeAnswers } from "../js/board/answers.js";

const FIRST = { question: "What was first?", answer: "Red.", seconds: 20 };
const AGAIN = { ...FIRST, seconds: 60 };
const OTHER = { question: "What is shown now?", answer: "Blue.", seconds: 30 };

test("an answer is found by its question, text and time", () => {
  assert.equal(answerOf([FIRST, OTHER, AGAIN], { question: "What was first?", answer: "Red. ", at: 59.5 }), AGAIN);
  assert.equal(answerOf([FIRST, AGAIN], { question: "What was first?", answer: "Red.", at: 21 }), FIRST);
  assert.equal(answerOf([FIRST], { question: "What was first?", answer: "Blue.", at: 20 }), undefined);
});

test("an earlier answer is shown until a newer one arrives or the columns change", () => {
  const answers = makeAnswers();
  answers.note(FIRST, 1);
  answers.note(OTHER, 1);
  assert.equal(answers.shown(1), OTHER);
  assert.ok(answers.pin({ ...FIRST, at: 20 }, 1));
  assert.equal(answers.shown(1), FIRST);
  assert.equal(answers.newest(), OTHER);
  answers.note(AGAIN, 1);
  assert.equal(answers.shown(1), AGAIN);
  answers.pin({ ...FIRST, at: 20 }, 1);
  assert.equal(answers.shown(2), AGAIN); // its attention is binned by other columns
  assert.ok(!answers.pin({ ...FIRST, at: 20 }, 2));
  answers.clear();
  assert.equal(answers.shown(1), null);
});
