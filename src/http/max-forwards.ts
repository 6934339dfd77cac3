import { pairs, type RawHeaders, values } from './headers.ts';

const NAME = 'max-forwards';
/** For every other method the field says nothing (RFC 9110, section 7.6.2). */
const METHODS = new Set(['TRACE', 'OPTIONS']);

/** Whether whoever gets a request must answer it, and not pass it on (RFC 9110, section 7.6.2). */
export function isLastHop(method: string | undefined, headers: RawHeaders): boolean {
  return forwardsLeft(method, headers) === 0;
}

/**
 * A request's fields with one forward less, where they count forwards (RFC 9110, section 7.6.2). A field
 * that is no number is passed on as it is.
 */
export function countForward(method: string | undefined, headers: RawHeaders): RawHeaders {
  const left = forwardsLeft(method, headers);
  if (left === null) return headers;
  return pairs(headers).flatMap(([name, value]) => [
    name,
    name.toLowerCase() === NAME ? String(left - 1) : value,
  ]);
}

function forwardsLeft(method: string | undefined, headers: RawHeaders): number | null {
  if (method === undefined || !METHODS.has(method)) return null;
  const [value = '', ...more] = values(headers, NAME);
  if (more.length > 0 || !/^\d+$/.test(value)) return null;
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}
