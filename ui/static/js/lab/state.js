// Requests for the state of the comparison. They do not use Gradio's events, see `ui/page/comparison_state.py`.

export const COMPARISON = "./hermes-live-comparison";
/** A request without a response for this long is given up. */
const SILENCE_MS = 40_000;

/**
 * Make the function that requests the state: `ask(shown)`, with what the page shows. There is one request at a time. While one is
 * running, only the last of the next ones is kept. `receive(state)` gets each state. A lost or refused request is not repeated.
 */
export function makeStateRequests(receive) {
  let running = false;
  let next = null;

  async function request(shown) {
    const response = await fetch(COMPARISON, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(shown), signal: AbortSignal.timeout(SILENCE_MS),
    });
    if (response.status === 200) receive(await response.json());
  }

  return async function ask(shown) {
    next = shown;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await request(now);
      }
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error; // not a lost connection
    } finally {
      running = false;
    }
  };
}
