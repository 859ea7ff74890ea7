// The drawer with the settings of the stream. It does not cover the memory, so that the effect of a change can be watched.
import { h, setText } from "../shared/dom.js";

const OPEN = "hl-settings-open"; // a class of the body, because Gradio owns the drawer's element
const DRAWER = "#hl-settings";

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
  const close = h("button", { type: "button", class: "hl-drawer-close", "aria-label": "Close the settings", title: "Close", onclick: shut }, "×");
  const note = h("p", { class: "hl-whose", hidden: true });
  let opener = null;

  const isOpen = () => document.body.classList.contains(OPEN);

  function set(on) {
    document.body.classList.toggle(OPEN, on);
    for (const button of buttons) button.setAttribute("aria-expanded", String(on));
  }

  function open(from = document.activeElement) {
    if (isOpen()) return;
    opener = from;
    set(true);
    focusClose();
  }

  /** Focus the button that closes the drawer. Gradio's transitions keep it hidden in the first frames. */
  function focusClose(frames = 60) {
    close.focus({ preventScroll: true });
    if (document.activeElement !== close && isOpen() && frames > 0) requestAnimationFrame(() => focusClose(frames - 1));
  }

  function shut() {
    if (!isOpen()) return;
    set(false);
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    const at = /** @type {Element} */ (event.target);
    const inside = at.closest?.(DRAWER) || buttons.has(at);
    if (event.key !== "Escape" || !inside || at.getAttribute("aria-expanded") === "true" && !buttons.has(at)) return; // Escape closes an open list first
    shut();
  });
  bus.on("view", (view) => {
    const text = runSettingsNote(view.run);
    note.hidden = !text;
    setText(note, text);
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
      const drawer = head.closest(DRAWER);
      drawer.setAttribute("role", "dialog");
      drawer.setAttribute("aria-label", "Settings");
      head.querySelector(".hl-drawer-head").append(h("h2", {}, "Settings"), close, note);
      if (isOpen()) focusClose();
    },
  };
}
