// Colours and patterns of the board, read from the page's CSS variables, which follow the theme.

/** Parse "#rrggbb" or "rgb(r, g, b)" to [r, g, b]. */
export function parseColour(text) {
  const value = text.trim();
  if (value.startsWith("#")) {
    const hex = value.length === 4 ? [...value.slice(1)].map((c) => c + c).join("") : value.slice(1, 7);
    return [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
  }
  return (value.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number);
}

/** CSS colour of [r, g, b] and an opacity. */
export function rgba([r, g, b], alpha) {
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** Opacity of a cell that holds this share of its tokens; even a single token is visible. */
export function shareAlpha(share) {
  return share <= 0 ? 0 : 0.22 + 0.78 * Math.min(1, share);
}

/** Colour of a value from 0 to 1 on the palette's ramp, whose lightness is monotonic. */
export function rampColour(ramp, value) {
  const at = Math.max(0, Math.min(1, value)) * (ramp.length - 1);
  const low = Math.min(ramp.length - 2, Math.floor(at));
  return ramp[low].map((channel, i) => Math.round(channel + (ramp[low + 1][i] - channel) * (at - low)));
}

/** Read the palette from an element's computed style. */
export function readPalette(element) {
  const style = getComputedStyle(element);
  const colour = (name) => parseColour(style.getPropertyValue(name));
  return {
    tiers: [colour("--hl-sensory"), colour("--hl-working"), colour("--hl-longterm"), colour("--hl-neutral")],
    ramp: [0, 1, 2, 3, 4].map((i) => colour(`--hl-ramp-${i}`)),
    read: colour("--hl-read"),
    focus: colour("--hl-focus"),
    danger: colour("--hl-danger"),
    ink: colour("--hl-ink"),
    quiet: colour("--hl-ink-3"),
    line: colour("--hl-line"),
    card: colour("--hl-card"),
    font: style.fontFamily,
  };
}

const tiles = new Map();

/** A tier's canvas pattern: hatched, dotted or none, so that tiers differ not only in hue. */
export function tierPattern(ctx, tier, card, ratio) {
  if (tier >= 2) return null;
  const key = `${tier}/${card}/${ratio}`;
  if (!tiles.has(key)) {
    const size = Math.round(6 * ratio);
    const tile = document.createElement("canvas");
    tile.width = size;
    tile.height = size;
    const pen = tile.getContext("2d");
    pen.fillStyle = rgba(card, 0.4);
    pen.strokeStyle = rgba(card, 0.4);
    pen.lineWidth = 1.1 * ratio;
    if (tier === 0) {
      pen.beginPath();
      for (const shift of [-size, 0, size]) {
        pen.moveTo(shift - 1, size + 1);
        pen.lineTo(shift + size + 1, -1);
      }
      pen.stroke();
    } else {
      pen.beginPath();
      pen.arc(size / 2, size / 2, 1.05 * ratio, 0, 7);
      pen.fill();
    }
    tiles.set(key, tile);
  }
  return ctx.createPattern(tiles.get(key), "repeat");
}
