import assert from "node:assert/strict";
import test from "node:test";
import { moveCursor, nearestColumn, tickStep } from "../js/board/scales.js";
import { rowLayout } from "../js/shared/cells.js";
import { heldShare } from "../js/board/retention.js";

test("tick steps are round", () => {
  assert.equal(tickStep(60, 6), 10);
  assert.equal(tickStep(90000, 5), 36000);
});

test("the nearest column to a moment", () => {
  assert.equal(nearestColumn([0, 0.5, 1.0], 3, 0.6), 1);
  assert.equal(nearestColumn([], 0, 1), -1);
});

test("the cursor stays on what was seen", () => {
  assert.deepEqual(moveCursor(null, "ArrowLeft", false, 5, 3), { column: 3, layer: 0 });
  assert.deepEqual(moveCursor({ column: 4, layer: 2 }, "ArrowRight", false, 5, 3), { column: 4, layer: 2 });
  assert.deepEqual(moveCursor({ column: 4, layer: 1 }, "ArrowUp", true, 5, 3), { column: 4, layer: 0 });
  assert.deepEqual(moveCursor({ column: 4, layer: 1 }, "Home", false, 5, 3), { column: 0, layer: 1 });
  assert.equal(moveCursor({ column: 0, layer: 0 }, "x", false, 5, 3), null);
  assert.equal(moveCursor(null, "ArrowLeft", false, 0, 3), null);
});

test("rows leave a gap between tiers", () => {
  const rows = rowLayout([{ first: 0, last: 0 }, { first: 1, last: 2 }], 10, 8, 4);
  assert.deepEqual([rows.top(0), rows.top(1), rows.top(2), rows.bottom], [10, 22, 30, 38]);
  assert.equal(rows.at(19), null);
  assert.equal(rows.at(31), 2);
});

test("the history holds a row for each moment, a quarter of it for each tier and for every layer together", () => {
  const history = [new Uint8Array([255, 128, 0, 51]), new Uint8Array([0, 255, 51, 255, 102, 255, 204, 153])];
  assert.equal(heldShare(history, 0, 1, 0), 0);
  assert.equal(heldShare(history, 1, 1, 0), 0.2);
  assert.equal(heldShare(history, 2, 1, 1), 1);
  assert.equal(heldShare(history, 3, 1, 0), 0.8);
  assert.equal(heldShare(history, 2, 0, 1), null);
});
