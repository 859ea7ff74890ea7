// The update stream: server-sent events are read as they come, however the network cuts them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { splitEvents } from "../js/player/updates.js";

test("events are read once they are complete", () => {
  const text = 'data: {"n":1}\n\n: a comment\n\ndata: {"n":"two words"}\n\ndata: {"n":';
  assert.deepEqual(splitEvents(text), { events: [{ n: 1 }, { n: "two words" }], rest: 'data: {"n":' });
  assert.deepEqual(splitEvents(""), { events: [], rest: "" });
});

test("the text may be split anywhere without changing the events", () => {
  const sent = [{ due: 1.5, player: { state: "playing" }, board: null }, { due: 2, player: {}, board: { seq: 3 } }];
  const text = sent.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  for (let cut = 0; cut <= text.length; cut += 1) {
    const first = splitEvents(text.slice(0, cut));
    const second = splitEvents(first.rest + text.slice(cut));
    assert.deepEqual([...first.events, ...second.events], sent);
    assert.equal(second.rest, "");
  }
});
