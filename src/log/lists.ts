import type { Logger } from './logger.ts';

/** Bytes of JSON that lists may take in one line; the rest of it needs less than half of 8 KiB. */
const ROOM = 4_096;
/** Characters of one entry: what is longer was made up. */
const LONGEST_ENTRY = 1_000;

type Lists = Readonly<Record<string, readonly string[]>>;

/**
 * Logs fields with lists that may be long. Lines stay below 8 KiB, where conmon and journald would cut
 * them: what does not fit follows in lines of their own, with `part` and `parts`, which only have `event`,
 * the fields in `tie`, and more of the lists.
 * @param tie what all parts have, so that they can be put together.
 */
export function logLists(
  logger: Logger,
  level: 'info' | 'warn' | 'error',
  { tie, fields, lists }: { tie: object; fields: object; lists: Lists },
  message: string,
): void {
  const parts = split(lists);
  for (const [index, part] of parts.entries()) {
    const number = parts.length === 1 ? {} : { part: index + 1, parts: parts.length };
    if (index === 0) logger[level]({ ...tie, ...fields, ...number, ...part }, message);
    else logger[level]({ ...tie, ...number, ...part }, 'continued');
  }
}

/** The first part has every list, if only the beginning of it. */
function split(lists: Lists): Record<string, string[]>[] {
  let part: Record<string, string[]> = Object.fromEntries(
    Object.keys(lists).map((name) => [name, []]),
  );
  const parts = [part];
  let taken = 0;
  for (const [name, entries] of Object.entries(lists)) {
    for (const entry of entries) {
      const text = entry.length > LONGEST_ENTRY ? `${entry.slice(0, LONGEST_ENTRY)}...` : entry;
      const size = Buffer.byteLength(JSON.stringify(text)) + 1;
      if (taken > 0 && taken + size > ROOM) {
        part = {};
        parts.push(part);
        taken = 0;
      }
      taken += size;
      const list = part[name] ?? [];
      list.push(text);
      part[name] = list;
    }
  }
  return parts;
}
