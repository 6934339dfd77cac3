import { type RawHeaders, values } from '../http/headers.ts';

/** Without white space, control characters and backslashes, which browsers drop or take for slashes. */
const PLAIN = /^[\x21-\x5b\x5d-\x7e]*$/;
/** A reference that names its origin in full. `http:evil` is a path to some, a host to others. */
const ABSOLUTE = /^(?:http:)?\/\/[\w.:[\]-]+(?:[/?#]|$)/i;
/** A reference that cannot name an origin. */
const RELATIVE = /^(?:\/(?!\/)|[?#]|[^:/?#]+(?:[/?#]|$)|$)/;
const HOST = /^[\w.:[\]-]+$/;
const REFRESH = /^\d+(?:\.\d*)?(?:\s*[;,]\s*url\s*=\s*(?:"([^"]*)"|'([^']*)'|([^"'\s]*)))?$/i;

/**
 * Finds where whisper's answer would send the client, if that is anywhere but the origin that the
 * client asked: `Location` (RFC 9110, section 10.2.2) and `Refresh` (HTML standard). A 307 would
 * make the client send the recording again, to wherever it points. What browsers and libraries
 * could read in different ways counts as foreign.
 * @param host the Host field that the client sent.
 * @returns the foreign value, or null.
 */
export function findForeignRedirect(headers: RawHeaders, host: string | undefined): string | null {
  const locations = values(headers, 'location');
  if (locations.length > 1) return locations.join(', ');
  const foreign = locations.find((location) => !isSameOrigin(location, host));
  return (
    foreign ?? values(headers, 'refresh').find((value) => isForeignRefresh(value, host)) ?? null
  );
}

function isForeignRefresh(value: string, host: string | undefined): boolean {
  const match = REFRESH.exec(value.trim());
  if (match === null) return true;
  const target = match[1] ?? match[2] ?? match[3];
  return target !== undefined && !isSameOrigin(target, host);
}

function isSameOrigin(target: string, host: string | undefined): boolean {
  if (!PLAIN.test(target)) return false;
  if (!ABSOLUTE.test(target) && !RELATIVE.test(target)) return false;
  try {
    const base = new URL(`http://${host && HOST.test(host) ? host : 'whisper.invalid'}/`);
    return new URL(target, base).origin === base.origin;
  } catch {
    return false;
  }
}
