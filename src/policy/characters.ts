/**
 * Characters that look like others, or like nothing: what an editor, a web page or a chat makes of what was
 * typed. A rule with one of them would not be what it looks like.
 */
const LOOKALIKES: [pattern: RegExp, remedy: string][] = [
  [/\p{Cf}|\u034f|\u115f|\u1160|\u17b4|\u17b5|\u3164|\uffa0/u, 'is invisible; take it out'],
  [
    /[\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/u,
    'is a special space; write a plain one',
  ],
  [
    /[\u2018-\u201f\u2039\u203a\u00ab\u00bb\u2032-\u2037\u300c-\u300f\uff02\uff07\u0060\u00b4]/u,
    'is a typographic quote; write \' or ", or none',
  ],
  [/[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d]/u, 'is a typographic dash; write -'],
  [/[\uff01-\uff5e]/u, 'is a full-width character; write the plain one'],
  [/[\u2024\u3002\uff61\u2219\u22c5]/u, 'looks like a dot; write .'],
  [/[\u2044\u2215\u2571]/u, 'looks like a slash; write /'],
  [/[\u02d0\u0589\u05c3\u2236\ua789]/u, 'looks like a colon; write :'],
  [/[\u066a\u066d\u204e\u2217\u2731]/u, 'looks like an asterisk; write *'],
  [/[\u060c\u201a\u3001]/u, 'looks like a comma; write ,'],
  [/\ufffd/u, 'stands for a character that was lost; write it again'],
];

/**
 * Finds the first character of a text that looks like another one, or like nothing.
 * @returns a sentence without its final stop that names it and says what to write, or null.
 */
export function findLookalike(text: string): string | null {
  if (/^[\x20-\x5f\x61-\x7e]*$/.test(text)) return null;
  for (const [pattern, remedy] of LOOKALIKES) {
    const [character] = pattern.exec(text) ?? [];
    if (character !== undefined) return `${nameOf(character)} ${remedy}`;
  }
  return null;
}

/** A character as a message may show it: by its number too, since it may not be seen. */
function nameOf(character: string): string {
  const number = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  const isSeen = /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character);
  return isSeen ? `the character ${character} (U+${number})` : `the character U+${number}`;
}

const SCRIPTS = [
  ...['Latin', 'Cyrillic', 'Greek', 'Armenian', 'Hebrew', 'Arabic', 'Georgian', 'Cherokee'],
  ...['Coptic', 'Devanagari', 'Thai', 'Han', 'Hiragana', 'Katakana', 'Hangul', 'Bopomofo'],
].map((name) => ({ name, pattern: new RegExp(`\\p{Script=${name}}`, 'u') }));

/** Of no script, or of several. */
const NEUTRAL = /\p{Script=Common}|\p{Script=Inherited}/u;

/** Scripts that one word may have together, each with Latin (UTS #39, section 5.2, "highly restrictive"). */
const TOGETHER = [
  ['Han', 'Hiragana', 'Katakana'],
  ['Han', 'Hangul'],
  ['Han', 'Bopomofo'],
];

/** Letters that look like Latin ones: a label of nothing else is meant to be read as Latin. */
const LATIN_TWINS = /^[асԁеһіјӏорԛѕԝхуνοаβρτυχкмтвнгѵ0-9-]+$/u;

/**
 * Finds out whether a label of an international name is written to be taken for another one: letters of
 * scripts that do not go together, or of one script that all look like Latin ones.
 * @returns a sentence without its final stop that names the letter, or null.
 */
export function findMixedScripts(label: string): string | null {
  const letters = [...label.normalize('NFC')].flatMap((character) => {
    if (!/\p{L}/u.test(character) || NEUTRAL.test(character)) return [];
    const script = SCRIPTS.find(({ pattern }) => pattern.test(character))?.name ?? 'another script';
    return [{ character, script }];
  });
  const scripts = new Set(letters.map(({ script }) => script));
  if (scripts.size === 1 && !scripts.has('Latin') && LATIN_TWINS.test(label.toLowerCase())) {
    const [script] = scripts;
    return `all letters of ${label} are ${script} and look like Latin ones; write it anew, or in its xn-- form if it is meant`;
  }
  const others = [...scripts].filter((script) => script !== 'Latin');
  if (scripts.size < 2 || TOGETHER.some((set) => others.every((each) => set.includes(each)))) {
    return null;
  }
  const counts = (script: string) => letters.filter((each) => each.script === script).length;
  const main = [...scripts].reduce((most, each) => (counts(each) > counts(most) ? each : most));
  const odd = letters.find(({ script }) => script !== main);
  if (odd === undefined) return null;
  return `${nameOf(odd.character)} is ${odd.script}, among ${main} letters; write the ${main} one`;
}

/** Finds the first character of an international name that no name has as it is. @returns as `findLookalike`. */
export function findNonLetter(name: string): string | null {
  const [character] = /[^\p{L}\p{M}\p{Nd}.\-_·]/u.exec(name) ?? [];
  if (character !== undefined) return `no host name has ${nameOf(character)}; take it out`;
  for (const letter of name.normalize('NFC')) {
    const plain = letter.normalize('NFKC');
    if (plain !== letter) return `${nameOf(letter)} stands for ${plain}; write that`;
  }
  return null;
}
