import type { DestinationStream } from 'pino';

/** Bytes, its newline included: conmon cuts longer lines in two, and neither half is JSON. */
export const LONGEST_LINE = 8_191;
const LONGEST_TEXT = 200;

type Line = Record<string, unknown>;

/**
 * A destination whose lines are never longer than 8 KiB. Lines are made to stay below that; one that does
 * not, such as an error with a long message, loses what is long in it, and has `cut: true`.
 */
export function boundLines(destination: DestinationStream): DestinationStream {
  return {
    write: (text) => destination.write(isShort(text) ? text : `${shorten(text)}\n`),
  };
}

function isShort(text: string): boolean {
  // No character has more than three bytes of UTF-8 for each of its units.
  return text.length * 3 <= LONGEST_LINE || Buffer.byteLength(text) <= LONGEST_LINE;
}

function shorten(text: string): string {
  const line = JSON.parse(text) as Line;
  const shortened = Object.fromEntries(
    Object.entries(line).map(([name, value]) => [name, shortenValue(value)]),
  );
  const whole = JSON.stringify({ ...shortened, cut: true });
  if (Buffer.byteLength(whole) < LONGEST_LINE) return whole;
  const { level, time, event, msg } = shortened;
  return JSON.stringify({ level, time, event, msg, cut: true });
}

function shortenValue(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : value;
}
