// What the Explore tab requests, from the state of the page. Pure functions.

/** The source that is the stream or recorded run; other sources are methods of a comparison. */
export const STREAM = "stream";

/** Below this width in pixels, two moments are drawn one below the other; as on the server. */
const STACKED_BELOW = 900;
/** Below this width in pixels, the colour bar is below the figure; as on the server. */
const NARROW = 640;

/** Which controls a figure has: {mode, layer, frame, tier} -> visible. */
export function controlsOf(controls) {
  const has = (name) => controls.includes(name);
  return { mode: has("mode"), layer: has("layer") || has("every layer"), frame: has("frame"), tier: has("tier") };
}

/** Height of the figure in pixels. It depends only on the place, so that the page does not move when the figure arrives. */
export function heightOf(width, compared) {
  const one = width < NARROW ? 520 : 500;
  return compared && width < STACKED_BELOW ? 2 * one - 80 : one;
}

/** Whether there is a moment: "empty", "moving" while it changes by itself, or "still". `view` is the player's state. */
export function momentState(view, source = STREAM) {
  if (source !== STREAM) return "still";
  if (!view || view.state === "empty" || !view.frames) return "empty";
  return view.answering || view.state === "playing" ? "moving" : "still";
}

/** Identifies what is shown: it differs if another figure must be drawn. Methods of a comparison are drawn on request. `answers`: number of answers so far. */
export function momentKey(view, source, answers) {
  if (source !== STREAM) return source;
  if (!view) return "";
  return JSON.stringify([source, view.source?.kind, view.source?.id, view.run?.epoch ?? null, view.position ?? null, view.clock, view.frames, answers]);
}
