import { type RawHeaders, values } from './headers.ts';

/**
 * How the body of a message is coded for this hop: not at all, in chunks, or in a way that cannot be
 * taken off here and put on again (RFC 9112, sections 6.1 and 7). A `gzip` could not: the field ends
 * with this hop, so nobody behind it would know.
 */
export type TransferCoding = 'none' | 'chunked' | 'other';

/** Reads the Transfer-Encoding fields of a message. */
export function transferCoding(headers: RawHeaders): TransferCoding {
  const codings = transferCodings(headers);
  if (codings === null) return 'none';
  return codings.length === 1 && codings[0] === 'chunked' ? 'chunked' : 'other';
}

/** Whether a message says that it ends in chunks, whatever else was done to it before. */
export function endsInChunks(headers: RawHeaders): boolean {
  return transferCodings(headers)?.at(-1) === 'chunked';
}

function transferCodings(headers: RawHeaders): string[] | null {
  const fields = values(headers, 'transfer-encoding');
  if (fields.length === 0) return null;
  return fields
    .join()
    .split(',')
    .map((coding) => coding.trim().toLowerCase());
}

/** Whether a message is of a version that is spoken here; Node's parser takes 0.9 and 2.0 as well. */
export function isTakenVersion(httpVersion: string): boolean {
  return httpVersion === '1.1' || httpVersion === '1.0';
}
