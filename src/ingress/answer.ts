import type { RawHeaders } from '../http/headers.ts';
import { responseHeaders } from './headers.ts';
import { findForeignRedirect } from './redirect.ts';

/** Whisper's answer is not one that may pass. */
export class UnfitAnswerError extends Error {
  readonly code: string = 'UNFIT_ANSWER';
}

/** Whisper's answer would send the client to another origin; the message is where. */
export class ForeignRedirectError extends UnfitAnswerError {
  override readonly code = 'FOREIGN_REDIRECT';
}

/**
 * What every answer of whisper's has to pass, whether to an ordinary request or to a handshake.
 * @param host the Host field that the client sent.
 * @returns the fields that reach the client.
 * @throws UnfitAnswerError, ForeignRedirectError
 */
export function screenAnswer(
  status: number,
  headers: RawHeaders,
  host: string | undefined,
): RawHeaders {
  if (status < 100 || status > 599) throw new UnfitAnswerError(`it has the status ${status}`);
  const foreign = findForeignRedirect(headers, host);
  if (foreign !== null) throw new ForeignRedirectError(foreign);
  return responseHeaders(headers);
}
