// Events that a part of the page sends to the server. Parts may exist before Gradio has started; their events are queued until then.

const PRESSES = new Set(["act", "labdo"]); // numbered, because Gradio may reorder simultaneous events

/**
 * A post of one part. `send(type, data)` goes out at once where the part is connected and let go, else it waits. What people
 * press goes out with its number, as `order`. Returns {send, connect(trigger), letGo()}.
 */
export function makePost() {
  let trigger = null;
  let free = false;
  let kept = [];
  let presses = 0;
  const go = (type, data) => {
    if (PRESSES.has(type)) presses += 1;
    trigger(type, PRESSES.has(type) ? { ...data, order: presses } : data);
  };
  return {
    send(type, data) {
      if (trigger && free) go(type, data);
      else kept.push([type, data]);
    },
    connect(next) {
      trigger = next;
    },
    /** The server has heard of this page: what was kept goes out, in its order. */
    letGo() {
      if (free || !trigger) return;
      free = true;
      const waiting = kept;
      kept = [];
      for (const [type, data] of waiting) go(type, data);
    },
  };
}
