// Notices about live slots, shown above the picture so that nothing moves: the place in the queue, which stays while a recording
// is watched, and the end of a webcam stream because others wait.
import { h, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

/** The place in the queue {place, of} in words. Pure. */
export function queueText({ place, of }) {
  if (place === 1) return of === 1 ? "You are next." : `You are next of ${of} in the queue.`;
  return `You are number ${place} of ${of} in the queue.`;
}

/** Build the notices; `leave()` gives up the place. Returns {root, draw(view)}. */
export function makeWaiting(leave) {
  const text = h("p", {}, "");
  const left = h("strong", { class: "hl-left", "aria-hidden": "true" }, ""); // counts down, which a screen reader need not announce
  const queue = h("div", { class: "hl-waiting", role: "status", hidden: true },
    h("div", {}, h("strong", {}, "All live slots are busy; recordings still work."), text),
    h("button", { type: "button", class: "hl-button", onclick: leave }, "Leave the queue"));
  const ending = h("div", { class: "hl-waiting", role: "status", hidden: true },
    h("div", {}, h("strong", {}, "Other visitors are waiting, so your webcam stream ends within a minute."),
      h("p", {}, "Your memory stays, and you can still ask questions.")), left);
  return {
    root: h("div", { class: "hl-slots" }, queue, ending),
    draw(view) {
      queue.hidden = !view.waiting;
      if (view.waiting) setText(text, `${queueText(view.waiting)} Your stream starts automatically when it is your turn.`);
      ending.hidden = typeof view.ends_in !== "number";
      if (!ending.hidden) setText(left, clock(view.ends_in));
    },
  };
}
