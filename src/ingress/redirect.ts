import { type RawHeaders, values } from '../http/headers.ts';

/** Without white space, control characters and backslashes, which browsers drop or take for slashes. */
const PLAIN = /^[\x21-\x5b\x5d-\x7e]*$/;
/** A reference that names its origin in full. `http:evil` is a path to some, a host to others. */
const ABSOLUTE = /^(?:https?:)?\/\/[\w.:[\]-]+(?:[/?#]|$)/i;
/** A reference that cannot name an origin. */
const RELATIVE = /^(?:\/(?!\/)|[?#]|[^:/?#]+(?:[/?#]|$)|$)/;
const HOST = /^[\w.:[\]-]+$/;
const REFRESH = /^\d+(?:\.\d*)?(?:\s*[;,]\s*url\s*=\s*(?:"([^"]*)"|'([^']*)'|([^"'\s]*)))?$/i;

/** Where a client's requests go. */
export interface Origin {
  scheme: string;
  host: string | undefined;
}

/**
 * Finds where whisper's answer would send the client, if that is anywhere but an origin of the
 * client's own: `Location` (RFC 9110, section 10.2.2) and `Refresh` (HTML standard). A 307 would
 * make the client send the recording again, to wherever it points. What browsers and libraries
 * could read in different ways counts as foreign.
 * @param origins the client's own.
 * @returns the foreign value, or null.
 */
export function findForeignRedirect(
  headers: RawHeaders,
  origins: readonly Origin[],
): string | null {
  const locations = values(headers, 'location');
  if (locations.length > 1) return locations.join(', ');
  const foreign = locations.find((location) => !isOwn(location, origins));
  return (
    foreign ?? values(headers, 'refresh').find((value) => isForeignRefresh(value, origins)) ?? null
  );
}

function isForeignRefresh(value: string, origins: readonly Origin[]): boolean {
  const match = REFRESH.exec(value.trim());
  if (match === null) return true;
  const target = match[1] ?? match[2] ?? match[3];
  return target !== undefined && !isOwn(target, origins);
}

function isOwn(target: string, origins: readonly Origin[]): boolean {
  return origins.some((origin) => isSameOrigin(target, origin));
}

function isSameOrigin(target: string, { scheme, host }: Origin): boolean {
  if (!PLAIN.test(target)) return false;
  if (!ABSOLUTE.test(target) && !RELATIVE.test(target)) return false;
  try {
    const base = new URL(
      `${scheme === 'https' ? 'https' : 'http'}://${host && HOST.test(host) ? host : 'whisper.invalid'}/`,
    );
    return new URL(target, base).origin === base.origin;
  } catch {
    return false;
  }
}
