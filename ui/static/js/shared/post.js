// Events that a part of the page sends to the server. Parts may exist before Gradio has started; their events are queued until then.

const NUMBERED = new Set(["act", "labdo"]); // numbered, because Gradio may reorder simultaneous events

/**
 * Create the queue of one part. `send(type, data)` sends an event, or queues it until the part is connected and released. Actions of
 * the visitor get a number, `order`. Returns {send, connect(trigger), release()}.
 */
export function makePost() {
  let trigger = null;
  let released = false;
  let queue = [];
  let actions = 0;
  const dispatch = (type, data) => {
    if (NUMBERED.has(type)) actions += 1;
    trigger(type, NUMBERED.has(type) ? { ...data, order: actions } : data);
  };
  return {
    send(type, data) {
      if (trigger && released) dispatch(type, data);
      else queue.push([type, data]);
    },
    connect(next) {
      trigger = next;
    },
    /** The server knows this page: send the queued events in their order. */
    release() {
      if (released || !trigger) return;
      released = true;
      const waiting = queue;
      queue = [];
      for (const [type, data] of waiting) dispatch(type, data);
    },
  };
}
