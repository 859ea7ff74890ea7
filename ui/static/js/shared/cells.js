// Grids of cells drawn as a small picture with one pixel per cell and scaled up, so that thousands of cells take one draw call.

const scratch = new Map();

/** Create (or reuse, by `name`) a picture of columns x rows pixels; `paint(data, columns, rows)` writes RGBA bytes. */
export function cellPicture(name, columns, rows, paint) {
  let canvas = scratch.get(name);
  if (!canvas) {
    canvas = document.createElement("canvas");
    scratch.set(name, canvas);
  }
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, rows);
  paint(image.data, columns, rows);
  pen.putImageData(image, 0, 0);
  return canvas;
}

/** Write one cell, with an alpha of 0 to 1. */
export function putCell(data, columns, column, row, [r, g, b], alpha) {
  const at = (row * columns + column) * 4;
  data[at] = r;
  data[at + 1] = g;
  data[at + 2] = b;
  data[at + 3] = Math.round(alpha * 255);
}

/** Lay out rows with a gap between tiers: {top(layer), height, bottom, at(y)}. */
export function rowLayout(runs, top, height, gap) {
  const tops = [];
  let y = top;
  runs.forEach((run, i) => {
    if (i) y += gap;
    for (let layer = run.first; layer <= run.last; layer += 1) {
      tops[layer] = y;
      y += height;
    }
  });
  return {
    height, bottom: y,
    top: (layer) => tops[layer],
    at: (py) => {
      for (let layer = 0; layer < tops.length; layer += 1) {
        if (py >= tops[layer] && py < tops[layer] + height) return layer;
      }
      return null;
    },
  };
}
