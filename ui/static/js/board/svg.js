// A drawing context that writes SVG. It implements the part of the canvas API that the figures use, so that one drawing
// function serves screen and export. Pictures (thumbnails, cell grids) become embedded images; everything else stays vector.

const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/[<]/g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
const n = (value) => String(Math.round(value * 100) / 100);
const ANCHOR = { left: "start", right: "end", center: "middle" };
const BASELINE = { top: "hanging", middle: "central", alphabetic: "alphabetic", bottom: "text-after-edge" };

/** Create a context for a drawing of `width` x `height` pixels. `finish()` returns the SVG text. */
export function svgPen(width, height) {
  const out = [];
  const defs = [];
  let path = "";
  let dash = [];
  const pen = {
    fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, font: "11px sans-serif", textAlign: "left", textBaseline: "alphabetic",
    imageSmoothingEnabled: true,
    setTransform() {}, clearRect() {},
    setLineDash(next) { dash = next; },
    fillRect(x, y, w, h) { out.push(`<rect x="${n(Math.min(x, x + w))}" y="${n(Math.min(y, y + h))}" width="${n(Math.abs(w))}" height="${n(Math.abs(h))}" ${fill()}/>`); },
    strokeRect(x, y, w, h) { out.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="none" ${stroke()}/>`); },
    beginPath() { path = ""; },
    moveTo(x, y) { path += `M${n(x)} ${n(y)}`; },
    lineTo(x, y) { path += `${path ? "L" : "M"}${n(x)} ${n(y)}`; },
    closePath() { path += "Z"; },
    fill() { if (path) out.push(`<path d="${path}" ${fill()}/>`); },
    stroke() { if (path) out.push(`<path d="${path}" fill="none" ${stroke()}/>`); },
    fillText(text, x, y) {
      const style = /^(?:(\d+) )?([\d.]+)px (.*)$/.exec(pen.font) ?? [null, "400", "11", "sans-serif"];
      out.push(`<text x="${n(x)}" y="${n(y)}" font-family="${escape(style[3])}" font-size="${style[2]}" font-weight="${style[1] ?? 400}" text-anchor="${ANCHOR[pen.textAlign] ?? "start"}" dominant-baseline="${BASELINE[pen.textBaseline] ?? "alphabetic"}" ${fill()}>${escape(text)}</text>`);
    },
    drawImage(image, ...box) {
      const [sx, sy, sw, sh, x, y, w, h] = box.length === 8 ? box : [0, 0, image.width, image.height, ...box];
      const crisp = pen.imageSmoothingEnabled ? "" : ' style="image-rendering: pixelated"';
      const href = image.toDataURL ? image.toDataURL() : image.src;
      // A nested <svg> crops the picture and stretches it to the box.
      out.push(`<svg x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" viewBox="${n(sx)} ${n(sy)} ${n(sw)} ${n(sh)}" preserveAspectRatio="none">`
        + `<image href="${href}" width="${image.width}" height="${image.height}" preserveAspectRatio="none"${crisp}/></svg>`);
    },
    createPattern(tile) {
      const id = `p${defs.length}`;
      const at = { id, size: tile.width };
      const scale = { value: 1 };
      defs.push({ at, scale, href: tile.toDataURL() });
      return { url: `url(#${id})`, setTransform(matrix) { scale.value = matrix.a; } };
    },
    finish() {
      const patterns = defs.map(({ at, scale, href }) => `<pattern id="${at.id}" width="${n(at.size * scale.value)}" height="${n(at.size * scale.value)}" patternUnits="userSpaceOnUse"><image href="${href}" width="${n(at.size * scale.value)}" height="${n(at.size * scale.value)}"/></pattern>`);
      return `<svg xmlns="http://www.w3.org/2000/svg" width="${n(width)}" height="${n(height)}" viewBox="0 0 ${n(width)} ${n(height)}">`
        + `${patterns.length ? `<defs>${patterns.join("")}</defs>` : ""}${out.join("\n")}</svg>`;
    },
  };
  function paint(style) {
    if (style?.url) return [style.url, 1];
    const parts = /^rgba\((\d+), (\d+), (\d+), ([\d.]+)\)$/.exec(style);
    return parts ? [`rgb(${parts[1]},${parts[2]},${parts[3]})`, parts[4]] : [style, 1];
  }
  function fill() {
    const [colour, alpha] = paint(pen.fillStyle);
    return `fill="${colour}"${Number(alpha) === 1 ? "" : ` fill-opacity="${alpha}"`}`;
  }
  function stroke() {
    const [colour, alpha] = paint(pen.strokeStyle);
    return `stroke="${colour}" stroke-width="${n(pen.lineWidth)}"${Number(alpha) === 1 ? "" : ` stroke-opacity="${alpha}"`}${dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : ""}`;
  }
  return pen;
}
