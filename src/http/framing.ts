/**
 * Whether a Transfer-Encoding is one that can be taken off here and put on again. A `gzip` in it
 * could not: the field ends with this hop, so nobody behind it would know.
 * @param coding all values of the field, joined by commas; empty: there is none.
 */
export function isPlainlyFramed(coding: string): boolean {
  return coding === '' || coding.trim().toLowerCase() === 'chunked';
}

/** Whether a message cannot have that Transfer-Encoding: HTTP/1.0 has none (RFC 9112, section 6.1). */
export function isFaultyCoding(httpVersion: string, coding: string): boolean {
  return httpVersion === '1.0' && coding !== '';
}

/** Whether a message is of a version that is spoken here; Node's parser takes 0.9 and 2.0 as well. */
export function isTakenVersion(httpVersion: string): boolean {
  return httpVersion === '1.1' || httpVersion === '1.0';
}
