// Notices about a lost connection and about a saved stream that can be resumed.
import { h, setText } from "../shared/dom.js";
import { clock } from "../shared/format.js";

const LOST = "Connection lost. Your stream is kept for one minute. Reconnecting …";

/** Text that offers to resume a saved stream {title, seconds, questions, minutes, failed}. Pure. */
export function offerText({ title, seconds, questions, minutes, failed }) {
  const chat = questions === 1 ? "1 question" : `${questions} questions`;
  const ago = minutes < 1 ? "less than a minute ago" : minutes === 1 ? "1 minute ago" : `${minutes} minutes ago`;
  const cause = failed ? "The machine that ran your stream has failed." : "The server was restarted.";
  return `${cause} Your stream “${title}” was saved at ${clock(seconds)} with ${chat}, ${ago}.`;
}

/** Build the notices; `act(action)` sends the visitor's choice. Returns {root, lost(on), draw(view)}. */
export function makeReturning(act) {
  const lost = h("p", { class: "hl-lost", role: "status", hidden: true }, LOST);
  const text = h("p");
  const choose = (action) => {
    for (const button of [resume, startOver]) button.disabled = true;
    act(action);
  };
  const resume = h("button", { type: "button", class: "hl-button is-main", onclick: () => choose("resume-saved") }, "Resume");
  const startOver = h("button", { type: "button", class: "hl-button", onclick: () => choose("discard-saved") }, "Start over");
  const offer = h("div", { class: "hl-offer", role: "status", hidden: true }, text, resume, startOver);
  let noticeId = null;
  return {
    root: h("div", { class: "hl-returning" }, lost, offer),
    lost(on) {
      lost.hidden = !on;
    },
    draw(view) {
      offer.hidden = !view.saved || Boolean(view.waiting);
      if (view.saved) setText(text, offerText(view.saved));
      if (view.saved && view.notice && view.notice.id === noticeId) return;
      noticeId = view.notice?.id ?? null; // an error was shown: enable the buttons again
      for (const button of [resume, startOver]) if (!view.saved || view.notice) button.disabled = false;
    },
  };
}
