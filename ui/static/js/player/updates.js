// The update stream: the page posts what it shows and reads server-sent events until the response ends, then posts again.
// What it wants to see in between goes out as a request of its own, which the running response answers at once.

export const UPDATES = "./hermes-live-updates";
export const REQUESTS = "./hermes-live-requests";
/** Without a byte for this long the connection counts as lost; the server ends a response sooner. */
export const SILENCE_MS = 40_000;
/** Pauses before a failed connection is tried again; the last one repeats. */
export const RETRY_MS = [250, 1000, 2000, 4000];

/** Split server-sent events off a text: {events: parsed data of the complete ones, rest: the text of the one that is incomplete}. Pure. */
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
 * The update stream of one page. `ask()` returns what the page shows and wants to see; `receive(update)` takes each update.
 * Returns {start(session), now()}: `start` connects with the key of the session, `now` asks for an update at once.
 */
export function makeUpdates(ask, receive) {
  let session = null;
  let running = null; // aborts the response that is being read
  let failures = 0;
  let retry = null; // ends the pause before the next attempt

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
    const mine = running = new AbortController();
    let timer = null;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => mine.abort(), SILENCE_MS);
    };
    alive();
    failures += 1; // until an update arrives
    try {
      const response = await post(UPDATES, { session, ...ask() }, mine.signal);
      if (response.ok) await read(response, alive);
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError")) throw error; // anything but a lost connection is a fault
    } finally {
      clearTimeout(timer);
      running = null;
    }
  }

  async function run() {
    for (;;) {
      await connect();
      if (!failures) continue;
      const wait = RETRY_MS[Math.min(failures, RETRY_MS.length) - 1];
      await new Promise((done) => {
        retry = done;
        setTimeout(done, wait);
      });
      retry = null;
    }
  }

  async function request() {
    try {
      await post(REQUESTS, { session, ...ask() });
    } catch { /* the connection is lost: the next one says what the page wants to see */ }
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
