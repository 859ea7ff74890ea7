// Creation of DOM elements. Text from users always becomes a text node, never markup.

/** Create an element: h("button", {class: "x", onclick: f}, "text", child). Null, undefined and false children are skipped. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const PATHS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  stop: "M6 6h12v12H6z",
  restart: "M12 5V1.8L7.2 6.2 12 10.6V7.2a5.3 5.3 0 1 1-5.3 5.3H4.5A7.5 7.5 0 1 0 12 5z",
  send: "M3.4 20.4 21 12 3.4 3.6v6.5L14.5 12 3.4 13.9z",
  moon: "M20.2 14.6A8.3 8.3 0 0 1 9.4 3.8a8.3 8.3 0 1 0 10.8 10.8z",
  camera: "M3 7h11a1.5 1.5 0 0 1 1.5 1.5v7A1.5 1.5 0 0 1 14 17H3a1.5 1.5 0 0 1-1.5-1.5v-7A1.5 1.5 0 0 1 3 7zm13.8 3.6 5.7-3.2v9.2l-5.7-3.2z",
  record: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14z",
  link: "M10.6 13.4a3.5 3.5 0 0 0 5 0l3.2-3.2a3.5 3.5 0 0 0-5-5L12.6 6.4l1.4 1.4 1.2-1.2a1.5 1.5 0 0 1 2.2 2.2l-3.2 3.2a1.5 1.5 0 0 1-2.2 0zm2.8-2.8a3.5 3.5 0 0 0-5 0l-3.2 3.2a3.5 3.5 0 0 0 5 5l1.2-1.2-1.4-1.4-1.2 1.2a1.5 1.5 0 0 1-2.2-2.2l3.2-3.2a1.5 1.5 0 0 1 2.2 0z",
  close: "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  columns: "M4 5h7v14H4zM13 5h7v14h-7z",
  back: "M10.5 5.5 4 12l6.5 6.5 1.4-1.4L7.8 13H20v-2H7.8l4.1-4.1z",
  pin: "M8 3h8v2l-1 1v5l3 3v2h-5v6h-2v-6H6v-2l3-3V6L8 5z",
  layers: "M4 5h16v3H4zM4 10.5h11v3H4zM4 16h14v3H4z",
  upload: "M11 15V7.8L8.1 10.7 6.7 9.3 12 4l5.3 5.3-1.4 1.4L13 7.8V15zM5 17h14v2.5H5z",
};

/** An icon of the set above, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("hl-icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return svg;
}

/** Keyboard behaviour of a native radio group: arrow keys move and select, Tab enters and leaves. Returns a function that updates the tab stops. */
export function radioKeys(group) {
  const radios = () => [...group.querySelectorAll('[role="radio"]')];
  const updateTabStops = () => {
    const all = radios();
    const on = all.find((radio) => radio.getAttribute("aria-checked") === "true") ?? all[0];
    for (const radio of all) radio.tabIndex = radio === on ? 0 : -1;
  };
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = radios();
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  });
  updateTabStops();
  return updateTabStops;
}

/** Set a node's text only if it changed, to avoid repeated announcements and lost selections. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Create a publish/subscribe bus for the parts of the page. New listeners receive the last value of their topic. */
export function makeBus() {
  const listeners = new Map();
  const last = new Map();
  return {
    on(topic, listener) {
      if (!listeners.has(topic)) listeners.set(topic, []);
      listeners.get(topic).push(listener);
      if (last.has(topic)) listener(last.get(topic));
    },
    publish(topic, value) {
      last.set(topic, value);
      for (const listener of listeners.get(topic) ?? []) listener(value);
    },
    last: (topic) => last.get(topic),
  };
}
