// Progress in the lessons, stored in the browser only.

const KEY = "hermes-lessons";

/** Progress after showing a step: {id: {step, done, revealed}}; `revealed` lists the steps whose result was shown. Pure. */
export function reached(progress, id, step) {
  const before = progress[id] ?? { step: 0, done: false };
  return { ...progress, [id]: { ...before, step } };
}

/** Progress after the result of a step was shown. Pure. */
export function revealed(progress, id, step) {
  const before = progress[id] ?? { step, done: false };
  return { ...progress, [id]: { ...before, revealed: [...new Set([...known(before), step])].sort((a, b) => a - b) } };
}

/** Steps whose result was shown. Stored progress may be damaged or from an earlier version. */
function known(entry) {
  return Array.isArray(entry?.revealed) ? entry.revealed.filter(Number.isInteger) : [];
}

/** The predictions of a lesson: how many there are, how many results were shown, and the first step without one (or -1). Pure. */
export function predictions(progress, lesson) {
  const shown = known(progress[lesson.id]);
  const steps = lesson.steps.map((step, index) => (step.choices?.length ? index : -1)).filter((index) => index >= 0);
  return { of: steps.length, shown: steps.filter((index) => shown.includes(index)).length, next: steps.find((index) => !shown.includes(index)) ?? -1 };
}

/** Progress after the end of a lesson. It counts as done once a result was shown, or if this page has none of its predictions. Pure. */
export function finished(progress, lesson) {
  const { of, shown } = predictions(progress, lesson);
  const done = Boolean(progress[lesson.id]?.done) || shown > 0 || of === 0;
  return { ...progress, [lesson.id]: { ...progress[lesson.id], step: 0, done } };
}

/** Status of a lesson in the list. Pure. */
export function statusOf(progress, lesson) {
  const at = progress[lesson.id];
  if (!at) return `${lesson.minutes} minutes`;
  if (at.step > 0) return `Step ${at.step + 1} of ${lesson.steps.length}`;
  return at.done ? "Done" : `${lesson.minutes} minutes`;
}

/** The lesson and step named in an address: {lesson, step}, or null. Pure. */
export function linked(search, lessons) {
  const asked = new URLSearchParams(search);
  const lesson = lessons.find((item) => item.id === asked.get("lesson"));
  if (!lesson) return null;
  const step = Math.floor(Number(asked.get("step") ?? 1)) - 1;
  return { lesson, step: Number.isFinite(step) ? Math.max(0, Math.min(lesson.steps.length - 1, step)) : 0 };
}

/** The address with this lesson and step; without either if `lesson` is null. Pure. */
export function address(href, lesson, step) {
  const url = new URL(href);
  url.searchParams.delete("lesson");
  url.searchParams.delete("step");
  if (lesson) {
    url.searchParams.set("lesson", lesson.id);
    if (step) url.searchParams.set("step", String(step + 1));
  }
  return url.href;
}

/** Load the stored progress. */
export function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return kept && typeof kept === "object" ? kept : {};
  } catch {
    return {}; // storage is forbidden or damaged
  }
}

/** Store the progress. */
export function keep(progress) {
  try {
    localStorage.setItem(KEY, JSON.stringify(progress));
  } catch { /* storage may be forbidden; progress is then lost when the page closes */ }
}
