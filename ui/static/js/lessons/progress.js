// Progress in the lessons, stored in the browser only.

const KEY = "hermes-lessons";

/** Progress after showing a step: {id: {step, done}}. Pure. */
export function reached(progress, id, step) {
  const before = progress[id] ?? { step: 0, done: false };
  return { ...progress, [id]: { ...before, step } };
}

/** Progress after finishing a lesson. Pure. */
export function finished(progress, id) {
  return { ...progress, [id]: { step: 0, done: true } };
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
