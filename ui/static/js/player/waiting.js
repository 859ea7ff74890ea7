// The place in the queue for a live slot, shown above the picture so that nothing moves. It stays while a recording is watched.
import { h, setText } from "../shared/dom.js";

/** The place in the queue {place, of} in words. Pure. */
export function queueText({ place, of }) {
  if (place === 1) return of === 1 ? "You are next." : `You are next of ${of} in the queue.`;
  return `You are number ${place} of ${of} in the queue.`;
}

/** Build the notice; `leave()` gives up the place. Returns {root, draw(view)}. */
export function makeWaiting(leave) {
  const text = h("p", {}, "");
  const root = h("div", { class: "hl-waiting", role: "status", hidden: true },
    h("div", {}, h("strong", {}, "All live slots are busy; recordings still work."), text),
    h("button", { type: "button", class: "hl-button", onclick: leave }, "Leave the queue"));
  return {
    root,
    draw(view) {
      root.hidden = !view.waiting;
      if (view.waiting) setText(text, `${queueText(view.waiting)} Your stream starts by itself.`);
    },
  };
}
