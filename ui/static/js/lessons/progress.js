// How far this browser got in the lessons; nothing leaves it. The pure parts take and return plain objects.

const KEY = "hermes-lessons";

/** Progress after a step was shown: {id: {step, done}}. Pure. */
export function reached(progress, id, step) {
  const before = progress[id] ?? { step: 0, done: false };
  return { ...progress, [id]: { ...before, step } };
}

/** Progress after a lesson was finished. Pure. */
export function finished(progress, id) {
  return { ...progress, [id]: { step: 0, done: true } };
}

/** What the list says of a lesson. Pure. */
export function standing(progress, lesson) {
  const at = progress[lesson.id];
  if (!at) return `${lesson.minutes} minutes`;
  if (at.step > 0) return `Step ${at.step + 1} of ${lesson.steps.length}`;
  return at.done ? "Done" : `${lesson.minutes} minutes`;
}

/** The lesson and step that an address names: {lesson, step}, or null. Pure. */
export function linked(search, lessons) {
  const asked = new URLSearchParams(search);
  const lesson = lessons.find((item) => item.id === asked.get("lesson"));
  if (!lesson) return null;
  const step = Math.floor(Number(asked.get("step") ?? 1)) - 1;
  return { lesson, step: Number.isFinite(step) ? Math.max(0, Math.min(lesson.steps.length - 1, step)) : 0 };
}

/** The address with this lesson and step in it; without, where `lesson` is null. Pure. */
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

/** What this browser remembers. */
export function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return kept && typeof kept === "object" ? kept : {};
  } catch {
    return {}; // forbidden or broken storage: the lessons begin anew
  }
}

/** Remember it. */
export function keep(progress) {
  try {
    localStorage.setItem(KEY, JSON.stringify(progress));
  } catch { /* storage may be forbidden; progress then lasts until the page closes */ }
}
