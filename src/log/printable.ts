const LONGEST = 255;

/**
 * Text that a client controls, as the log and a terminal may show it: printable ASCII, anything
 * else escaped as `\xNN` or `\uNNNN`, at most 255 characters and `...`.
 */
export function printable(text: string): string {
  const escaped = text.slice(0, LONGEST + 1).replace(/[^\x20-\x7e]/g, escapeUnit);
  return escaped.length > LONGEST ? `${escaped.slice(0, LONGEST)}...` : escaped;
}

function escapeUnit(unit: string): string {
  const hex = unit.charCodeAt(0).toString(16);
  return hex.length > 2 ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
}
