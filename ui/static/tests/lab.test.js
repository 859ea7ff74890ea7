import assert from "node:assert/strict";
import test from "node:test";
import { chosen, figures, heldShare, mainAction, score, UNSEEN } from "../js/lab.js";

test("memories are chosen once each, gaps left out", () => {
  assert.deepEqual(chosen(["hermes", "", "full", "hermes", ""]), ["hermes", "full"]);
});

test("the main button pauses what plays and starts what is over", () => {
  assert.equal(mainAction("playing").action, "pause");
  assert.equal(mainAction("paused").action, "resume");
  assert.deepEqual([mainAction("ended").action, mainAction("ended").label], ["start", "Run again"]);
  assert.deepEqual([mainAction("empty").action, mainAction("empty").label], ["start", "Run"]);
});

test("a lane's score leaves out what nobody knows and what it could not answer", () => {
  const asked = [
    { replies: [{ said: "Red.", right: true }, { said: "Blue.", right: false }, null] },
    { replies: [{ said: "Yes.", right: true }, { said: "Yes.", right: true }, null] },
    { replies: [{ said: "?", right: null }, { said: "?", right: null }, null] },
  ];
  assert.deepEqual(score(asked, 3), [{ right: 2, of: 2 }, { right: 1, of: 2 }, { right: 0, of: 0 }]);
});

test("the share held counts only what was seen", () => {
  assert.equal(heldShare(Uint8Array.of(254, 0, UNSEEN, UNSEEN)), 0.5);
  assert.equal(heldShare(Uint8Array.of(UNSEEN)), 0);
});

test("figures say what is not known yet", () => {
  const value = (lane, name) => figures(lane).find(([title]) => title === name)[1];
  const fresh = { first_ms: null };
  assert.deepEqual(figures(fresh).map(([, shown]) => shown), ["–", "–", "–", "–", "–"]);
  const answered = { resident: 512, seen: 2048, read: 640, archive: 1_500_000, moved: 250_000, first_ms: 12.34 };
  assert.equal(value(answered, "Tokens held"), "512 of 2,048");
  assert.equal(value(answered, "Tokens read"), "640");
  assert.equal(value(answered, "First token"), "12.3 ms");
  assert.equal(value(answered, "Archive"), "1.5 MB");
  assert.equal(value(answered, "Moved"), "250 KB");
});
