// The two views of the page: the stream, and Compare in its place. The address names the view, so that links and the browser's Back
// button work. The hidden view keeps its state.

const NAMES = /** @type {const} */ (["stream", "compare"]);

/** The view that an address names: "compare" or "stream". Pure. */
export function viewOf(search) {
  const params = new URLSearchParams(search);
  return params.get("view") === "compare" || params.has("lab") ? "compare" : "stream";
}

/** The address of a view. A link to a comparison also names its moment, which the stream does not use. Pure. */
export function addressOf(href, view) {
  const url = new URL(href);
  if (url.searchParams.has("lab")) url.searchParams.delete("t");
  url.searchParams.delete("lab");
  if (view === "compare") url.searchParams.set("view", view);
  else url.searchParams.delete("view");
  return url.href;
}

/**
 * Create the switch between the views. It publishes the shown view as "page-view". Returns {shown(), show(view), wire(button)};
 * `wire` makes a button of the page's head switch the views.
 */
export function makeViews(bus) {
  let shown = viewOf(location.search);
  let top = 0; // scroll position of the stream
  const buttons = new Set();

  function apply(view) {
    if (view === shown) return;
    if (view === "compare") top = scrollY;
    shown = view;
    mark();
    scrollTo({ top: view === "compare" ? 0 : top, behavior: "instant" });
    bus.publish("page-view", shown);
  }

  function mark() {
    document.body.classList.toggle("hl-comparing", shown === "compare");
    for (const button of buttons) {
      if (button.isConnected) button.setAttribute("aria-pressed", String(shown === "compare"));
      else buttons.delete(button); // Gradio has replaced the early head
    }
  }

  /** Show a view. Leaving Compare goes back in the history if this page has entered it. */
  function show(view) {
    if (view === shown || !NAMES.includes(view)) return;
    if (view === "compare") history.pushState({ ...history.state, compare: true }, "", addressOf(location.href, view));
    else if (history.state?.compare) {
      history.back(); // `popstate` follows
      return;
    } else history.replaceState(history.state, "", addressOf(location.href, view));
    apply(view);
  }

  addEventListener("popstate", () => apply(viewOf(location.search)));
  mark();
  bus.publish("page-view", shown);
  return {
    shown: () => shown,
    show,
    wire(button) {
      buttons.add(button);
      button.addEventListener("click", () => show(shown === "compare" ? "stream" : "compare"));
      button.setAttribute("aria-pressed", String(shown === "compare"));
    },
  };
}
