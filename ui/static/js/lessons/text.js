// Parser for lesson text: paragraphs with [[glossary terms]] and **measured values** in bold. Pure functions.

/** Split a text into [{kind: "text" | "term" | "strong", text}]. Unclosed markers stay plain text. */
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

/** Split leading punctuation off a text, such as [",", " and so on"], to keep it on the line of the preceding word. Pure. */
export function leadingPunctuation(text) {
  const mark = /^[,.;:!?)’”]+/.exec(text)?.[0] ?? "";
  return [mark, text.slice(mark.length)];
}

/** The text without markers, for a live region. */
export function plain(source) {
  return parseRich(source).map((part) => part.text).join("");
}
