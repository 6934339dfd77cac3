/** Header fields as Node gives and takes them: name, value, name, value, … */
export type RawHeaders = string[];

/**
 * What every request to the control socket must have, and no proxy passes on: `endToEnd` takes it out, so
 * that what came through ingress or egress is never taken for an operator's command.
 */
export const CONTROL_MARK = 'x-whisper-proxy-control';

/** What a proxy tells of the client behind it: the usual fields (RFC 7239 and its forerunners). */
const FORWARDED = /^(?:x[-_]forwarded[-_].*|forwarded|x[-_]real[-_]ip)$/i;

// RFC 9110, section 7.6.1, with the older names that are still seen; `Expect` is dealt with by the
// server that received it.
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'http2-settings',
  // Not of RFC 9110: it tells that this proxy itself answered, so nobody else's answer may have it.
  'x-whisper-proxy-reason',
  CONTROL_MARK,
]);

/**
 * The fields that go on to the next hop: without the hop-by-hop fields, those that Connection
 * names, every `Proxy-` field, and what only this proxy may say.
 * @param drop more names to leave out, in lower case.
 */
export function endToEnd(headers: RawHeaders, drop: ReadonlySet<string> = new Set()): RawHeaders {
  const named = connectionOptions(headers);
  return pairs(headers).flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    const stays =
      !HOP_BY_HOP.has(lower) &&
      !lower.startsWith('proxy-') &&
      !named.has(lower) &&
      !drop.has(lower);
    return stays ? [name, value] : [];
  });
}

/** Whether a field tells of a client behind a proxy. */
export function isForwarded(name: string): boolean {
  return FORWARDED.test(name);
}

/** The names and values one by one. */
export function pairs(headers: RawHeaders): [name: string, value: string][] {
  const result: [string, string][] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    result.push([headers[index] ?? '', headers[index + 1] ?? '']);
  }
  return result;
}

/** Every value of a field, in order. @param name in lower case. */
export function values(headers: RawHeaders, name: string): string[] {
  return pairs(headers).flatMap(([key, value]) => (key.toLowerCase() === name ? [value] : []));
}

/** Whether a request message has a body (RFC 9112, section 6.3). */
export function hasBody(headers: RawHeaders): boolean {
  const length = values(headers, 'content-length').at(-1);
  return (
    values(headers, 'transfer-encoding').length > 0 || (length !== undefined && length !== '0')
  );
}

function connectionOptions(headers: RawHeaders): Set<string> {
  const options = values(headers, 'connection').join(',').split(',');
  return new Set(
    options.map((option) => option.trim().toLowerCase()).filter((option) => option !== ''),
  );
}
