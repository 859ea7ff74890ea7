// What the player says to somebody who comes back: that the connection is lost, or that a saved stream can be resumed.
import { h, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

const LOST = "Connection lost. Your stream pauses and is kept for one minute; reconnecting …";

/** The offer of a saved stream in words: {title, seconds, questions, minutes}. Pure. */
export function offerText({ title, seconds, questions, minutes }) {
  const chat = questions === 1 ? "1 question" : `${questions} questions`;
  const ago = minutes < 1 ? "less than a minute ago" : minutes === 1 ? "1 minute ago" : `${minutes} minutes ago`;
  return `The server was restarted. Your stream “${title}” was saved at ${clock(seconds)} with ${chat}, ${ago}.`;
}

/** Build it; `answer(action)` sends the choice. Returns {root, lost(on), draw(view)}. */
export function makeReturning(answer) {
  const lost = h("p", { class: "hl-lost", role: "status", hidden: true }, LOST);
  const words = h("p");
  const choose = (action) => {
    for (const button of [resume, fresh]) button.disabled = true;
    answer(action);
  };
  const resume = h("button", { type: "button", class: "hl-button is-main", onclick: () => choose("resume-saved") }, "Resume");
  const fresh = h("button", { type: "button", class: "hl-button", onclick: () => choose("discard-saved") }, "Start over");
  const offer = h("div", { class: "hl-offer", role: "status", hidden: true }, words, resume, fresh);
  let noticeId = null;
  return {
    root: h("div", { class: "hl-returning" }, lost, offer),
    lost(on) {
      lost.hidden = !on;
    },
    draw(view) {
      offer.hidden = !view.saved;
      if (view.saved) setText(words, offerText(view.saved));
      if (view.saved && view.notice && view.notice.id === noticeId) return;
      noticeId = view.notice?.id ?? null; // a problem was told: the choice is open again
      for (const button of [resume, fresh]) if (!view.saved || view.notice) button.disabled = false;
    },
  };
}
