// The update stream: the page posts its state and reads server-sent events until the response ends, then posts again. Changes in
// between are sent as separate requests; the running response delivers the result immediately.
// A hidden page gets one update at a time and holds no connection in between: a browser opens six for all tabs of a server.
import { HIDDEN_MS } from "../shared/pulse.js";

export const UPDATES = "./hermes-live-updates";
export const REQUESTS = "./hermes-live-requests";
/** After this long without data the connection counts as lost. The server ends each response sooner. */
export const SILENCE_MS = 40_000;
/** Delays before reconnecting; the last one repeats. */
export const RETRY_MS = [250, 1000, 2000, 4000];

/** Parse server-sent events: {events: data of the complete events, rest: text of the incomplete one}. Pure. */
export function splitEvents(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  const events = blocks.flatMap((block) => block.split("\n").filter((line) => line.startsWith("data:")).map((line) => JSON.parse(line.slice(5))));
  return { events, rest };
}

function post(address, body, signal) {
  return fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });
}

/**
 * The update stream of one page. `state()` returns what the page shows and wants to receive; `receive(update)` handles an update.
 * Returns {start(session), now()}: `start` connects with the session key, `now` requests an update immediately.
 */
export function makeUpdates(state, receive) {
  let session = null;
  let running = null; // aborts the current response
  let failures = 0;
  let retry = null; // ends the delay before the next request

  async function read(response, alive) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const { events, rest } = splitEvents(text + decoder.decode(value, { stream: true }));
      text = rest;
      for (const event of events) {
        failures = 0;
        receive(event);
      }
    }
  }

  async function connect() {
    const controller = running = new AbortController();
    let timer = null;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), SILENCE_MS);
    };
    alive();
    failures += 1; // until an update arrives
    try {
      const response = await post(UPDATES, { session, ...state() }, controller.signal);
      if (response.ok) await read(response, alive);
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError")) throw error; // not a lost connection
    } finally {
      clearTimeout(timer);
      running = null;
    }
  }

  async function run() {
    for (;;) {
      await connect();
      if (!failures && !globalThis.document?.hidden) continue;
      const wait = failures ? RETRY_MS[Math.min(failures, RETRY_MS.length) - 1] : HIDDEN_MS;
      await new Promise((done) => {
        retry = done;
        setTimeout(done, wait);
      });
      retry = null;
    }
  }

  async function request() {
    try {
      await post(REQUESTS, { session, ...state() });
    } catch { /* the connection is lost; the next one sends the state */ }
  }

  return {
    start(key) {
      const first = session === null;
      session = key;
      if (first) run();
      else running?.abort();
    },
    now() {
      if (session === null) return;
      if (running) request();
      else retry?.();
    },
  };
}
