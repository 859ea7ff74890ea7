// Keeps a new turn in sight on phones, where the heatmap sticks to the top of the window.

/** Space between the heatmap and the turn, in pixels. */
const GAP = 10;

/** Pixels by which the page must scroll back so that a node at `top` begins below something that ends at `bottom`. Pure. */
export function hiddenBy(bottom, top) {
  return Math.max(0, Math.round(bottom + GAP - top));
}

/** Scroll the page so that the heatmap does not cover a node. */
export function uncover(node) {
  const heatmap = document.querySelector('.hl-memory > [data-view="layers"]');
  if (!heatmap || getComputedStyle(heatmap).position !== "sticky") return;
  const hidden = hiddenBy(heatmap.getBoundingClientRect().bottom, node.getBoundingClientRect().top);
  if (hidden) scrollBy({ top: -hidden, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
}
