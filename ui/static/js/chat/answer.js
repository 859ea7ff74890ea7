// The text of an answer in the chat. Pointing at a word (or focusing or tapping it) shows what it attended to on the board.
import { h, setText } from "../shared/dom.js";

const ARROWS = { ArrowRight: 1, ArrowLeft: -1 };
/** Time for which the pointer rests on a word before its attention is requested. */
const REST_MS = 70;

/** Whether the words of an answer can be shown: they are its text, and the attention of one is stored. Pure. */
export function hasWords(turn) {
  const words = turn.words ?? [];
  return words.some(([, first, stop]) => stop > first) && words.map(([text]) => text).join("") === turn.answer.trim();
}

/**
 * Connect the answers of the chat. `bus` receives the topic "word": {turn, first, stop, text}, or null. Returns {draw(node, turn, on),
 * reset()}: `draw` shows an answer, with its words active if `on`.
 */
export function makeAnswers(bus) {
  let pinned = null; // the word that stays shown
  let shown = null;
  let timer = null;

  const show = (word) => {
    clearTimeout(timer);
    if (word === shown) return;
    shown = word;
    bus.publish("word", word && word.request);
  };
  const leave = () => show(pinned);
  function pin(word) {
    pinned?.node.setAttribute("aria-pressed", "false");
    pinned = pinned === word ? null : word;
    pinned?.node.setAttribute("aria-pressed", "true");
    show(pinned);
  }
  document.addEventListener("pointerdown", (event) => {
    if (pinned && !(/** @type {Element} */ (event.target).closest(".hl-word, .hl-memory, .hl-below"))) pin(pinned);
  });

  function makeWord(request) {
    const word = { request, node: h("span", { class: "hl-word", role: "button", tabindex: "-1", "aria-pressed": "false", "aria-label": `${request.text}: show its attention`,
      onpointerenter: (event) => {
        if (event.pointerType === "touch") return; // a tap is a click
        clearTimeout(timer);
        timer = setTimeout(() => show(word), REST_MS);
      },
      onpointerleave: leave, onfocus: () => word.node.matches(":focus-visible") && show(word), onblur: leave, onclick: () => pin(word) }, request.text) };
    return word;
  }

  function onKey(words, event) {
    const at = words.findIndex(({ node }) => node === event.target);
    const step = ARROWS[event.key];
    if (step && words[at + step]) {
      words[at].node.tabIndex = -1;
      words[at + step].node.tabIndex = 0;
      words[at + step].node.focus();
    } else if (event.key === "Enter" || event.key === " ") pin(words[at]);
    else if (event.key === "Escape" && shown) {
      if (pinned) pin(pinned);
      show(null);
    } else return;
    event.preventDefault();
  }

  return {
    draw(node, turn, on) {
      const active = on && hasWords(turn);
      const key = active ? JSON.stringify(turn.words) : "";
      if ((node.dataset.words ?? "") === key && (active || node.textContent === turn.answer)) return;
      if (shown && node.contains(shown.node)) {
        pinned = null;
        show(null);
      }
      node.dataset.words = key;
      if (!active) {
        node.replaceChildren();
        setText(node, turn.answer);
        return;
      }
      const words = [];
      node.replaceChildren(...turn.words.map(([text, first, stop]) => {
        if (stop <= first) return text;
        words.push(makeWord({ turn: turn.id, first, stop, text }));
        return words.at(-1).node;
      }));
      words[0].node.tabIndex = 0;
      node.onkeydown = (event) => onKey(words, event);
    },
    /** Show no word, for example because another stream began. */
    reset() {
      pinned = null;
      show(null);
    },
  };
}
