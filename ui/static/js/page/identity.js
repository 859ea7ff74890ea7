// The identity of this browser tab: a secret token sent with every request, by which the server finds the tab's stream after a
// reload or a lost connection. Also detects lost connections and notifies the server when the tab is closed.

export const TAB_HEADER = "x-hermes-tab";
const TOKEN = "hermes-tab";
const OPEN = "hermes-tab-open";
const LEAVE = "./hermes-live-leave";
/** How long a page that may be a duplicated tab waits for the original to answer. */
const ANSWER_MS = 200;
/** Requests that show whether the server can be reached. */
const OURS = /\/gradio_api\/|\/hermes-live-(?:updates|requests|comparison)$/;

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
 * Read the identity of this tab from `sessionStorage`, or create one. A page removes its open mark when it is left. If the mark is
 * still set, the tab is a duplicate (the original then answers) or was discarded by the browser.
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
    token ??= randomToken(); // storage may be forbidden; the identity is then lost when the page is left
  }
  const own = token;
  channel.addEventListener("message", ({ data }) => data?.who === own && channel.postMessage({ here: own }));
  return own;
}

/** Whether a failed request means that the server cannot be reached, and was not aborted by the page. */
function isLost(error) {
  return error instanceof TypeError;
}

/** Identifies this page load within the tab. */
export const pageId = randomToken();
let lost = false;
const listeners = [];

/** Call `listener(lost)` when the connection to the server is lost or restored. */
export function onConnection(listener) {
  listeners.push(listener);
}

function setLost(now) {
  if (now === lost) return;
  lost = now;
  for (const listener of listeners) listener(lost);
}

/** Add the tab's identity to all requests. Call this before Gradio sends its first request. */
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
    const counts = OURS.test(new URL(request.url).pathname);
    try {
      const response = await send(request);
      if (counts) setLost(false);
      return response;
    } catch (error) {
      if (counts && isLost(error)) setLost(true);
      throw error;
    }
  };
  window.addEventListener("offline", () => setLost(true));

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
