const LONGEST = 255;

/**
 * Text that a client controls, as the log may show it: printable ASCII, a backslash doubled, anything
 * else as `\xNN` or `\uNNNN`, so that no two texts look alike; at most 255 characters and `...`.
 */
export function printable(text: string): string {
  // More than this cannot be shown anyway.
  const shown = text
    .slice(0, LONGEST + 1)
    .replace(/\\/g, '\\\\')
    .replace(UNPRINTABLE, escapeUnit);
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST)}${CUT}` : shown;
}

/**
 * Text that was made printable already, by somebody who may have been another program: what is printable
 * in it stays as it is.
 */
export function stillPrintable(text: string): string {
  const shown = text.slice(0, LONGEST + CUT.length + 1).replace(UNPRINTABLE, escapeUnit);
  const isCut = shown.length === LONGEST + CUT.length && shown.endsWith(CUT);
  return shown.length > LONGEST && !isCut ? `${shown.slice(0, LONGEST)}${CUT}` : shown;
}

const CUT = '...';
const UNPRINTABLE = /[^\x20-\x7e]/g;

function escapeUnit(unit: string): string {
  const hex = unit.charCodeAt(0).toString(16);
  return hex.length > 2 ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
}
