// Requests for what is not in the messages: one at a time, the newest of a kind wins, and none waits for ever.

export const PATIENCE_MS = 8000;

/**
 * A queue over `send(request)`, which may give a promise: that it has gone out. `receive(reply)` settles what was asked. `ask`
 * resolves with the reply, or null: overtaken or lost.
 */
export function makeDetails(send, clockwork = globalThis) {
  const waiting = new Map();
  let flying = null;
  let number = 0;

  function next() {
    if (flying || !waiting.size) return;
    const [kind, job] = waiting.entries().next().value;
    waiting.delete(kind);
    number += 1;
    const id = number;
    flying = { ...job, id, timer: null };
    const gone = send({ ...job.request, id });
    const wait = () => {
      if (flying?.id === id) flying.timer = clockwork.setTimeout(() => land(id, null), PATIENCE_MS);
    };
    if (gone?.then) gone.then(wait);
    else wait();
  }

  function land(id, reply) {
    if (!flying || flying.id !== id) return;
    clockwork.clearTimeout(flying.timer);
    const { resolve } = flying;
    flying = null;
    resolve(reply);
    next();
  }

  return {
    ask: (request) => new Promise((resolve) => {
      waiting.get(request.kind)?.resolve(null);
      waiting.set(request.kind, { request, resolve });
      next();
    }),
    receive: (reply) => land(reply.id, reply),
  };
}
