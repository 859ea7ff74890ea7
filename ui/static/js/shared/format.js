// Formatting of numbers, times and sizes. Pure functions.

/** Format stream time: 12:03, 1:02:03, or with tenths (`fine`) 0:07.5. */
export function clock(seconds, fine = false) {
  if (!Number.isFinite(seconds)) return "–:––";
  const tenths = Math.max(0, Math.round(seconds * 10));
  const whole = Math.floor(tenths / 10);
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  const s = String(whole % 60).padStart(2, "0");
  const tail = fine ? `.${tenths % 10}` : "";
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}${tail}` : `${m}:${s}${tail}`;
}

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** Format bytes with about three significant digits in decimal units, as the command line does: 512 B, 3.4 MB. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = Math.max(0, count);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${shortNumber(value)} ${units[unit]}`;
}

/** Format a number with about three significant digits, without trailing zeros. */
export function shortNumber(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return WHOLE.format(value);
  return String(Number(value.toFixed(size >= 10 ? 1 : 2)));
}

/** Format a whole number with thousands separators. */
export function whole(value) {
  return Number.isFinite(value) ? WHOLE.format(value) : "–";
}

/** Format a share of one as a percentage: 0.004 -> "0.4 %". */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value > 0 && value < 0.1) return "under 0.1 %";
  return `${value < 10 && value % 1 ? value.toFixed(1) : Math.round(value)} %`;
}

/** "1 frame", "2 frames". */
export function count(number, noun) {
  return `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
}
