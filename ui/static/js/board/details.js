// A queue of requests for details that are not part of the update messages. One request is in flight at a time; a newer
// request replaces a waiting one of the same kind; each has a timeout.

export const TIMEOUT_MS = 8000;

/**
 * Make a queue over `send(request)`, which may return a promise that resolves once the request was sent. `receive(reply)`
 * passes a reply in. `ask(request)` resolves with the reply, or with null if the request was replaced or timed out.
 */
export function makeDetails(send, timers = globalThis) {
  const waiting = new Map();
  let current = null;
  let lastId = 0;

  function next() {
    if (current || !waiting.size) return;
    const [kind, entry] = waiting.entries().next().value;
    waiting.delete(kind);
    lastId += 1;
    const id = lastId;
    current = { ...entry, id, timer: null };
    const sent = send({ ...entry.request, id });
    const wait = () => {
      if (current?.id === id) current.timer = timers.setTimeout(() => settle(id, null), TIMEOUT_MS);
    };
    if (sent?.then) sent.then(wait);
    else wait();
  }

  function settle(id, reply) {
    if (!current || current.id !== id) return;
    timers.clearTimeout(current.timer);
    const { resolve } = current;
    current = null;
    resolve(reply);
    next();
  }

  return {
    ask: (request) => new Promise((resolve) => {
      waiting.get(request.kind)?.resolve(null);
      waiting.set(request.kind, { request, resolve });
      next();
    }),
    receive: (reply) => settle(reply.id, reply),
  };
}
