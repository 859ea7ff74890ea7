// Lesson text: paragraphs with [[terms]] of the glossary and **figures** in bold, taken apart. Pure.

/** Parts of a text: [{kind: "text" | "term" | "strong", text}]. What is not closed stays plain. */
export function parseRich(source) {
  const parts = [];
  const marks = /\[\[([^\]]+)\]\]|\*\*([^*]+)\*\*/g;
  let at = 0;
  for (const match of source.matchAll(marks)) {
    if (match.index > at) parts.push({ kind: "text", text: source.slice(at, match.index) });
    parts.push(match[1] === undefined ? { kind: "strong", text: match[2] } : { kind: "term", text: match[1] });
    at = match.index + match[0].length;
  }
  if (at < source.length) parts.push({ kind: "text", text: source.slice(at) });
  return parts;
}

/** Text with the mark that it begins with apart, such as [",", " and so on"]: a mark belongs to the word before it. Pure. */
export function leadingMark(text) {
  const mark = /^[,.;:!?)’”]+/.exec(text)?.[0] ?? "";
  return [mark, text.slice(mark.length)];
}

/** The same as plain words, for a live region. */
export function plain(source) {
  return parseRich(source).map((part) => part.text).join("");
}
