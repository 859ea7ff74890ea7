// The page of props: one picture full-screen, and the list of all pictures. It needs no connection.
(() => {
  const get = (id) => document.getElementById(id);
  const pictures = JSON.parse(get("pictures").textContent); // [{kind, name, source}]
  const [stage, picture, name, chooser, names] = ["stage", "picture", "name", "chooser", "names"].map(get);
  const SWIPE = 30; // pixels
  let at = -1;
  let from = null;

  const slug = (text) => text.replaceAll(" ", "-");

  function show(index) {
    at = (index + pictures.length) % pictures.length;
    const { kind, name: text, source } = pictures[at];
    stage.dataset.kind = kind;
    picture.src = source;
    picture.alt = text;
    picture.hidden = false;
    name.textContent = text;
    chooser.hidden = true;
    history.replaceState(null, "", `#${slug(text)}`);
  }

  function openList() {
    chooser.hidden = false;
    const button = chooser.querySelectorAll(".grid button")[Math.max(at, 0)];
    button.focus({ preventScroll: at < 0 });
    history.replaceState(null, "", location.pathname + location.search);
  }

  function showNames(on) {
    names.setAttribute("aria-pressed", String(on));
    name.hidden = !on;
  }

  for (const [index, { kind, name: text, source }] of pictures.entries()) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    button.type = "button";
    image.src = source;
    image.alt = "";
    button.append(image, text);
    button.addEventListener("click", () => show(index));
    get(kind === "card" ? "cards" : "objects").append(button);
  }
  stage.addEventListener("pointerdown", (event) => { from = event.clientX; });
  stage.addEventListener("pointercancel", () => { from = null; });
  stage.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const moved = event.clientX - from;
    from = null;
    const forward = Math.abs(moved) > SWIPE ? moved < 0 : event.clientX > innerWidth / 2;
    show(at + (forward ? 1 : -1));
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape" && chooser.hidden) openList();
    if (!chooser.hidden) return;
    const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
    if (step) show(at + step);
  });
  get("previous").addEventListener("click", () => show(at - 1));
  get("next").addEventListener("click", () => show(at + 1));
  get("list").addEventListener("click", openList);
  names.addEventListener("click", () => showNames(name.hidden));
  get("full").hidden = !document.documentElement.requestFullscreen;
  get("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
  showNames(false);
  const wanted = pictures.findIndex(({ name: text }) => slug(text) === decodeURIComponent(location.hash.slice(1)));
  if (wanted >= 0) show(wanted);
})();
