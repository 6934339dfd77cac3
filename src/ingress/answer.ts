import type { IncomingMessage } from 'node:http';
import { transferCoding } from '../http/framing.ts';
import type { RawHeaders } from '../http/headers.ts';
import { MAX_FIELDS } from '../http/limits.ts';
import { responseHeaders } from './headers.ts';
import { findForeignRedirect, type Origin } from './redirect.ts';

/** Whisper's answer is not one that may pass; the message goes on after "it …". */
export class UnfitAnswerError extends Error {
  readonly code: string = 'UNFIT_ANSWER';
}

/** Whisper's answer would send the client to another origin; the message is where. */
export class ForeignRedirectError extends UnfitAnswerError {
  override readonly code = 'FOREIGN_REDIRECT';
}

/**
 * What every answer of whisper's has to pass, whether to an ordinary request or to a handshake.
 * @param origins where the client may be sent.
 * @returns the fields that reach the client.
 * @throws UnfitAnswerError, ForeignRedirectError
 */
export function screenAnswer(answer: IncomingMessage, origins: readonly Origin[]): RawHeaders {
  const { rawHeaders } = answer;
  const fault = findFault(answer);
  if (fault !== null) throw new UnfitAnswerError(fault);
  const foreign = findForeignRedirect(rawHeaders, origins);
  if (foreign !== null) throw new ForeignRedirectError(foreign);
  return responseHeaders(rawHeaders);
}

function findFault(answer: IncomingMessage): string | null {
  const { statusCode: status = 0, rawHeaders, httpVersion } = answer;
  if (answer.httpVersionMajor !== 1) return `has the version HTTP/${httpVersion}`;
  if (status < 100 || status > 599) return `has the status ${status}`;
  if (rawHeaders.length / 2 > MAX_FIELDS) return `has more than ${MAX_FIELDS} fields`;
  const coding = transferCoding(rawHeaders);
  if (coding === 'none') return null;
  if (coding === 'other') return 'has a Transfer-Encoding other than chunked';
  // RFC 9112, section 6.1: its framing cannot be trusted.
  return httpVersion === '1.0' ? 'has a Transfer-Encoding, and is of HTTP/1.0' : null;
}
