// The identity of this browser tab: a secret token that the page sends with every request, so that the server finds the tab's
// stream again after a reload or a lost connection. Also: whether the server can be reached, and the signal that the tab is closed.

export const TAB_HEADER = "x-hermes-tab";
const TOKEN = "hermes-tab";
const OPEN = "hermes-tab-open";
const LEAVE = "./hermes-live-leave";
/** How long a page that may be a copy of another tab waits for that tab to answer. */
const ANSWER_MS = 200;
/** Requests that tell whether the server can be reached. */
const OURS = /\/gradio_api\/|\/hermes-live-(?:updates|requests)$/;

/** 32 random hexadecimal digits. */
function randomToken() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether another page with this token is open: browsers copy the storage when a tab is duplicated. */
function isOpenElsewhere(channel, token) {
  return new Promise((resolve) => {
    const answer = ({ data }) => data?.here === token && resolve(true);
    channel.addEventListener("message", answer);
    channel.postMessage({ who: token });
    setTimeout(() => {
      channel.removeEventListener("message", answer);
      resolve(false);
    }, ANSWER_MS);
  });
}

/**
 * Take the identity of this tab from `sessionStorage`, or make one. A page removes its mark when it is left: a mark that is
 * still there belongs to a tab that was copied, which then answers, or to one that the browser discarded.
 */
async function identify() {
  const channel = new BroadcastChannel(TOKEN);
  let token = null;
  try {
    token = sessionStorage.getItem(TOKEN);
    if (token && sessionStorage.getItem(OPEN) && await isOpenElsewhere(channel, token)) token = null;
    token ??= randomToken();
    sessionStorage.setItem(TOKEN, token);
    sessionStorage.setItem(OPEN, "1");
  } catch {
    token ??= randomToken(); // storage may be forbidden: the identity then lasts until the page is left
  }
  const mine = token;
  channel.addEventListener("message", ({ data }) => data?.who === mine && channel.postMessage({ here: mine }));
  return mine;
}

/** Whether a failed request means that the server cannot be reached: anything but one that the page itself ended. */
function isLost(error) {
  return error instanceof TypeError;
}

/** A page of this tab: another one after each reload. */
export const pageId = randomToken();
let lost = false;
const listeners = [];

/** Calls `listener(lost)` when the connection to the server is lost or there again. */
export function onConnection(listener) {
  listeners.push(listener);
}

function note(now) {
  if (now === lost) return;
  lost = now;
  for (const listener of listeners) listener(lost);
}

/** Give this tab its identity, before Gradio sends its first request. */
export function giveIdentity() {
  let token = null;
  const known = identify().then((found) => {
    token = found;
    return found;
  });
  const send = window.fetch;
  window.fetch = async (input, options) => {
    const request = new Request(input, options);
    if (new URL(request.url).origin !== location.origin) return send(request);
    request.headers.set(TAB_HEADER, token ?? await known);
    const told = OURS.test(new URL(request.url).pathname);
    try {
      const response = await send(request);
      if (told) note(false);
      return response;
    } catch (error) {
      if (told && isLost(error)) note(true);
      throw error;
    }
  };
  window.addEventListener("offline", () => note(true));

  let reloading = false;
  window.navigation?.addEventListener("navigate", (event) => { reloading = event.navigationType === "reload"; });
  window.addEventListener("pagehide", (event) => {
    if (event.persisted || !token) return;
    try {
      sessionStorage.removeItem(OPEN);
    } catch { /* storage may be forbidden */ }
    if (!reloading && !lost) navigator.sendBeacon(LEAVE, token);
  });
}
