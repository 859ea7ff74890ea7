// What a part of the page sends to the server. A part may be there before Gradio is: what people did meanwhile is kept.

/**
 * A post of one part. `send(type, data)` goes out at once where the part is connected and let go, else it waits; a poll is
 * never kept, since the next one says more. Returns {send, connect(trigger), letGo()}.
 */
export function makePost() {
  let trigger = null;
  let free = false;
  let kept = [];
  return {
    send(type, data) {
      if (trigger && (free || type === "poll")) trigger(type, data);
      else if (type !== "poll") kept.push([type, data]);
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
      for (const [type, data] of waiting) trigger(type, data);
    },
  };
}
