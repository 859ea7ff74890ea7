// The drawer with the settings of the stream. It does not cover the memory, so that the effect of a change can be watched.
import { h, setText } from "../shared/dom.js";

const OPEN = "hl-settings-open"; // a class of the body, because Gradio owns the drawer's element
const DRAWER = "#hl-settings";
/** How long to try to focus an element of the drawer. */
const PATIENCE_MS = 5_000;

/** Note about the settings of a recorded run; "" if none is shown. Pure. */
export function runSettingsNote(run) {
  return run ? `For live streams only. This recording: ${run.settings}` : "";
}

/**
 * Create the drawer. Returns {button(), open(), wire(head)}: `button` makes a button that opens and closes it; `wire` receives the
 * element at the top of the drawer when Gradio has created it.
 */
export function makeSettingsDrawer(bus) {
  const buttons = new Set();
  let close = null; // the button, created in `wire`
  let note = null;
  let noteText = "";
  let opener = null;
  let wanted = null; // finds the element to focus

  const isOpen = () => document.body.classList.contains(OPEN);

  function set(on) {
    document.body.classList.toggle(OPEN, on);
    for (const button of buttons) button.setAttribute("aria-expanded", String(on));
  }

  /** Open the drawer and focus `find()`; `from` receives the focus when it is closed. */
  function open(from = document.activeElement, find = () => close) {
    if (!isOpen()) {
      opener = from;
      set(true);
    }
    wanted = find;
    focus(find, document.activeElement, performance.now() + PATIENCE_MS);
  }

  /**
   * Focus an element of the drawer. Gradio may not have created it yet, and its transitions hide it in the first frames. If the focus has
   * moved away from the element `before` meanwhile, it stays there: the visitor may be typing.
   */
  function focus(find, before, end) {
    const now = document.activeElement;
    if (find !== wanted || !isOpen() || (now !== before && now !== document.body)) return; // another request, or closed, or moved
    const element = /** @type {HTMLElement | null} */ (find());
    element?.focus({ preventScroll: true });
    if (element && document.activeElement === element) element.scrollIntoView({ block: "nearest" });
    else if (performance.now() < end) requestAnimationFrame(() => focus(find, before, end));
  }

  function shut() {
    if (!isOpen()) return;
    set(false);
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  }

  function onKey(event) {
    const at = /** @type {Element} */ (event.target);
    const inside = at.closest?.(DRAWER) || buttons.has(at);
    if (event.key !== "Escape" || !inside || at.getAttribute("aria-expanded") === "true" && !buttons.has(at)) return; // Escape closes an open list first
    shut();
  }

  function showNote() {
    if (!note) return;
    note.hidden = !noteText;
    setText(note, noteText);
  }

  bus.on("view", (view) => {
    noteText = runSettingsNote(view.run);
    showNote();
  });

  return {
    open,
    button() {
      const button = h("button", { type: "button", class: "hl-button hl-settings-button", "aria-expanded": String(isOpen()), "aria-controls": "hl-settings",
        onclick: () => (isOpen() ? shut() : open(button)) }, "Settings");
      buttons.add(button);
      return button;
    },
    wire(head) {
      close = h("button", { type: "button", class: "hl-drawer-close", "aria-label": "Close the settings", title: "Close", onclick: shut }, "×");
      note = h("p", { class: "hl-whose", hidden: true });
      showNote();
      document.addEventListener("keydown", onKey);
      const drawer = head.closest(DRAWER);
      drawer.setAttribute("role", "dialog");
      drawer.setAttribute("aria-label", "Settings");
      head.querySelector(".hl-drawer-head").append(h("h2", {}, "Settings"), close, note);
      if (isOpen()) focus(wanted, opener, performance.now() + PATIENCE_MS);
    },
  };
}
