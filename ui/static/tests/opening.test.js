import assert from "node:assert/strict";
import test from "node:test";
import { EARLY, matchingMoment, readParts } from "../js/page/opening.js";
import { makePost } from "../js/shared/post.js";

const config = (ids) => ({ components: [{ props: {} }, ...ids.map((id) => ({ props: { elem_id: id, value: id } }))] });
const ALL = ["hl-head", ...EARLY.map((name) => `hl-${name}`)];

test("the parts are found by their names, and only all together", () => {
  assert.equal(readParts(config(ALL)).get("hl-player").value, "hl-player");
  for (const id of ALL) assert.equal(readParts(config(ALL.filter((other) => other !== id))), null, id);
  assert.equal(readParts(undefined), null);
  assert.equal(readParts({ components: "?" }), null);
});

const RUNS = [{ id: "one", open_at: 57 }, { id: "two", open_at: 3 }];
const MOMENT = { key: "k", run: "one", seconds: 57, player: { state: "paused", clock: 57 }, board: { seq: 4 } };

test("the moment is shown where the address opens the page there only", () => {
  assert.equal(matchingMoment(MOMENT, "", RUNS, false).player.state, "playing");
  assert.equal(matchingMoment(MOMENT, "?run=one", RUNS, true).player.state, "paused");
  assert.equal(matchingMoment(MOMENT, "?__theme=dark&run=one&layer=2", RUNS, false).key, "k");
  for (const search of ["?run=one&t=12", "?run=two", "?run=none", "?run=gone", "?lesson=kv-cache"]) {
    assert.equal(matchingMoment(MOMENT, search, RUNS, false), null, search);
  }
  assert.equal(matchingMoment(null, "", RUNS, false), null);
  assert.equal(MOMENT.player.state, "paused");
});

test("events from before Gradio has started are sent in their order, once the server knows the page", () => {
  const post = makePost();
  const out = [];
  post.send("apply", 1);
  post.connect((type, data) => out.push([type, data]));
  post.send("apply", 3);
  assert.deepEqual(out, []);
  post.release();
  post.send("apply", 5);
  post.release();
  assert.deepEqual(out, [["apply", 1], ["apply", 3], ["apply", 5]]);
});

test("actions are numbered as they are sent, also queued ones", () => {
  const post = makePost();
  const out = [];
  post.send("act", { action: "pause" });
  post.connect((type, data) => out.push([type, data]));
  post.release();
  post.send("act", { action: "start" });
  post.send("shot", { number: 1 });
  assert.deepEqual(out, [["act", { action: "pause", order: 1 }], ["act", { action: "start", order: 2 }], ["shot", { number: 1 }]]);
});

test("a part that is not connected sends nothing", () => {
  const post = makePost();
  post.send("apply", 1);
  post.release();
  const out = [];
  post.connect((type, data) => out.push([type, data]));
  assert.deepEqual(out, []);
  post.release();
  assert.deepEqual(out, [["apply", 1]]);
});
