// Glossary terms on the page: underlined words that show their definition on hover, focus or tap. The definition can be hovered,
// stays until pointer or focus leave, and closes with Escape (WCAG 1.4.13).
import { h } from "../shared/dom.js";
import { leadingPunctuation } from "./text.js";
import { firstTerms, formsOf, pattern } from "./terms.js";

const LINGER_MS = 200;
const GAP = 8;
const MARK_MS = 150;
/** Where terms are marked automatically: captions and settings, but not controls. */
const CAPTIONS = [".hl-board figcaption p:not(.hl-scale, .hl-window)", "#hl-settings [data-testid='block-info'], #hl-settings .hl-message"];

/** Create the glossary of `terms`. Returns {term(text), markPage()}. */
export function makeGlossary(terms) {
  const forms = formsOf(terms);
  const matcher = pattern(terms);
  const tip = h("div", { class: "hl-term-tip", role: "tooltip", id: "hl-term-tip", hidden: true });
  let owner = null;
  let leaving = 0;
  let watched = null;
  let marking = 0;

  function show(node, term) {
    clearTimeout(leaving);
    if (!tip.isConnected) document.body.append(tip);
    if (owner && owner !== node) hide();
    owner = node;
    tip.replaceChildren(h("strong", {}, term.term), h("span", {}, term.meaning));
    tip.hidden = false;
    node.setAttribute("aria-describedby", tip.id);
    place();
  }

  /** Place the definition next to its term; hide it if the term was scrolled out of view. */
  function place() {
    const box = owner.getBoundingClientRect();
    if (box.bottom < 0 || box.top > innerHeight) {
      hide();
      return;
    }
    const left = Math.max(GAP, Math.min(innerWidth - tip.offsetWidth - GAP, box.left));
    const above = box.top - tip.offsetHeight - GAP;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < GAP ? box.bottom + GAP : above}px`;
  }

  function hide() {
    clearTimeout(leaving);
    owner?.removeAttribute("aria-describedby");
    owner = null;
    tip.hidden = true;
  }

  const hideSoon = () => {
    clearTimeout(leaving);
    leaving = setTimeout(() => document.activeElement !== owner && hide(), LINGER_MS);
  };

  tip.addEventListener("pointerenter", () => clearTimeout(leaving));
  tip.addEventListener("pointerleave", hideSoon);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || tip.hidden) return;
    event.stopPropagation();
    hide();
  }, true);
  document.addEventListener("pointerdown", (event) => {
    if (!tip.hidden && event.target !== owner && !tip.contains(event.target)) hide();
  });
  addEventListener("scroll", () => !tip.hidden && place(), { capture: true, passive: true });

  /** A button that shows the definition of the term `name` (by default its own text); plain text for unknown terms. */
  function term(shown, name = shown) {
    const known = forms.get(name.toLowerCase());
    if (!known) return document.createTextNode(shown);
    const node = h("button", { type: "button", class: "hl-term" }, shown);
    node.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(node, known));
    node.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideSoon());
    node.addEventListener("focus", () => show(node, known));
    node.addEventListener("blur", hide);
    node.addEventListener("click", (event) => {
      event.preventDefault(); // keeps a surrounding label from handling the click
      show(node, known);
    });
    return node;
  }

  function mark(root, seen) {
    const texts = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("button, a, summary, .hl-hidden")) texts.push(walker.currentNode);
    for (const text of texts) {
      for (const { start, end } of firstTerms(text.data, forms, matcher, seen).reverse()) {
        const tail = text.splitText(start);
        const shown = tail.data.slice(0, end - start);
        const [punctuation, rest] = leadingPunctuation(tail.data.slice(end - start));
        tail.data = rest;
        tail.before(punctuation ? h("span", { class: "hl-nowrap" }, term(shown), punctuation) : term(shown));
      }
    }
  }

  return {
    term,
    /** Mark the first occurrence of each term in the captions of the board, and in the settings when they are opened. */
    markPage() {
      const settings = document.querySelector("#hl-settings");
      if (settings && !watched) {
        watched = new MutationObserver(() => {
          clearTimeout(marking);
          marking = setTimeout(() => this.markPage(), MARK_MS);
        });
        watched.observe(settings, { childList: true, subtree: true });
      }
      for (const node of document.querySelectorAll("[data-term]:not(.hl-term)")) {
        if (!node.querySelector(".hl-term")) node.replaceChildren(term(node.textContent, node.getAttribute("data-term")));
      }
      for (const places of CAPTIONS) {
        const seen = new Set();
        const roots = [...document.querySelectorAll(places)];
        for (const word of roots.flatMap((root) => [...root.querySelectorAll(".hl-term")])) seen.add(forms.get(word.textContent.toLowerCase())?.term);
        for (const root of roots) if (!root.querySelector(".hl-term")) mark(root, seen);
      }
    },
  };
}
