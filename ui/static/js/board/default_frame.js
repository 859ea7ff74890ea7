// The frame whose token history is shown until the visitor opens one. Pure functions.
import { evidenceSpans } from "./axis.js";
import { keptTokens, seenColumns } from "./codec.js";

const HOW = "Click a picture or a cell of the heatmap above to see what happened to that frame’s tokens.";

/**
 * The first frame of the evidence of the last answer, else the newest frame of which a layer has evicted all tokens, else of which
 * a layer has evicted some: {frame, why}. Null if no tokens were evicted.
 */
export function defaultFrame(state) {
  if (!state.meta) return null;
  const [evidence] = evidenceSpans(state);
  if (evidence) return { frame: evidence[0], why: "it is part of the evidence of the last answer" };
  let partly = null;
  for (let column = seenColumns(state) - 1; column >= 0; column -= 1) {
    for (let layer = 0; layer < state.meta.layers; layer += 1) {
      const { kept, of } = keptTokens(state, layer, column);
      const frame = column * state.meta.bin;
      if (!kept) return { frame, why: "it is the newest frame that a layer has evicted" };
      if (kept < of) partly ??= { frame, why: "it is the newest frame of which a layer has evicted tokens" };
    }
  }
  return partly;
}

/** The text above the token history of an opened frame (`why`: for which reason it was chosen), or of none (null). */
export function historyHint(selected) {
  if (!selected) return HOW;
  return selected.why ? `Frame ${selected.frame + 1} is shown because ${selected.why}. ${HOW}` : "";
}
