// Requests for the state of a comparison: one at a time, and a lost one does not end them.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { COMPARISON, makeStateRequests } from "../js/lab/state.js";

const fetched = globalThis.fetch;
afterEach(() => { globalThis.fetch = fetched; });

/** Replace the network: each request is answered by the test. Returns the requests, {address, asked, answer(response), fail(error)}. */
function network() {
  const requests = [];
  globalThis.fetch = /** @type {typeof fetch} */ ((address, { body }) => new Promise((answer, fail) => {
    requests.push({ address, asked: JSON.parse(body), answer, fail });
  }));
  return requests;
}

test("there is one request at a time, and only the last of those made meanwhile follows", async () => {
  const requests = network();
  const states = [];
  const ask = makeStateRequests((state) => states.push(state));
  const first = ask({ frame: 1 });
  ask({ frame: 2 });
  ask({ frame: 3 });
  assert.deepEqual(requests.map(({ address, asked }) => [address, asked]), [[COMPARISON, { frame: 1 }]]);
  requests[0].answer(Response.json({ state: "playing" }));
  while (requests.length < 2) await new Promise(setImmediate);
  assert.deepEqual(requests[1].asked, { frame: 3 });
  requests[1].answer(new Response(null, { status: 204 })); // no state yet
  await first;
  assert.equal(requests.length, 2);
  assert.deepEqual(states, [{ state: "playing" }]);
});

test("after a lost request the next one is sent", async () => {
  const requests = network();
  const states = [];
  const ask = makeStateRequests((state) => states.push(state));
  for (const error of [new TypeError("Failed to fetch"), new DOMException("timed out", "TimeoutError")]) {
    const lost = ask({ frame: 1 });
    requests.pop().fail(error);
    await lost;
  }
  const refused = ask({ frame: 1 });
  requests.pop().answer(new Response(null, { status: 500 }));
  await refused;
  const next = ask({ frame: 2 });
  requests.pop().answer(Response.json({ state: "ended" }));
  await next;
  assert.deepEqual(states, [{ state: "ended" }]);
});
