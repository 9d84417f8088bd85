/**
 * Which entries fit what was typed so far, the best first. Pure.
 */

/** Compared without accents and capitals. @param {string} text */
export const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/**
 * @template T
 * @param {T[]} entries @param {string} typed @param {(entry: T) => string} nameOf
 * @returns {T[]} those whose name begins so, then those with a word that does, then those that contain it
 */
export function matching(entries, typed, nameOf) {
  const wanted = folded(typed.trim());
  if (!wanted) return entries;
  const rank = (/** @type {T} */ entry) => {
    const name = folded(nameOf(entry));
    if (name.startsWith(wanted)) return 0;
    if (name.split(/[\s_-]+/u).some((word) => word.startsWith(wanted))) return 1;
    return name.includes(wanted) ? 2 : 3;
  };
  const ranked = entries.map((entry) => /** @type {const} */ ([rank(entry), entry])).filter(([value]) => value < 3);
  return ranked.sort((a, b) => a[0] - b[0]).map(([, entry]) => entry);
}

/**
 * What a message's text asks to be completed at the caret.
 * @param {string} text @param {number} caret
 * @returns {{kind: "/" | "@" | "#", typed: string, from: number} | null}
 */
export function asked(text, caret) {
  const before = text.slice(0, caret);
  const command = /^\/([^\n]*)$/u.exec(before);
  if (command) return { kind: "/", typed: command[1], from: 0 };
  const mention = /(?:^|\s)([@#])([^\s@#]{0,32})$/u.exec(before);
  if (!mention) return null;
  return { kind: /** @type {"@" | "#"} */ (mention[1]), typed: mention[2], from: caret - mention[2].length - 1 };
}
