// Search for glossary terms in text. Pure functions.

/** Map of every form, in lower case, to its term: {"tokens": {term, meaning}, …}. */
export function formsOf(terms) {
  const forms = new Map();
  for (const term of terms) for (const form of [term.term, ...term.forms]) forms.set(form.toLowerCase(), term);
  return forms;
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Pattern of all forms that may be marked automatically (`auto` is not false), longest first; null if there are none. */
export function pattern(terms) {
  const forms = terms.filter((term) => term.auto !== false).flatMap((term) => [term.term, ...term.forms]);
  if (!forms.length) return null;
  const longest = forms.sort((a, b) => b.length - a.length).map(escape);
  return new RegExp(`(?<![\\w-])(?:${longest.join("|")})(?![\\w-])`, "gi");
}

/** First occurrences of terms not `seen` yet: [{start, end, term}]. Adds them to `seen`. */
export function firstTerms(text, forms, matcher, seen) {
  const found = [];
  for (const match of text.matchAll(matcher)) {
    const term = forms.get(match[0].toLowerCase());
    if (seen.has(term.term)) continue;
    seen.add(term.term);
    found.push({ start: match.index, end: match.index + match[0].length, term });
  }
  return found;
}
