import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { RawHeaders } from '../http/headers.ts';
import { UnfitAnswerError } from './answer.ts';
import { MAX_HEADER_BYTES, MAX_INFORMATIONAL } from './limits.ts';

/** The head of a request to whisper. */
export interface Question {
  method: string | undefined;
  /** The request-target as the client sent it. */
  target: string | undefined;
  headers: RawHeaders;
}

/**
 * Sends the head of a request to whisper; its body is the caller's to send. Informational answers
 * (RFC 9110, section 15.2) end here. An answer that is cut off fails, always: Node would take the end
 * of a broken connection for the end of an answer that has neither a length nor chunks.
 * @param socket a fresh connection to whisper.
 * @returns what emits `response`, `upgrade`, `continue` and `error`.
 */
export function askWhisper(socket: Socket, { method, target, headers }: Question): ClientRequest {
  const outgoing = httpRequest({
    createConnection: () => socket,
    maxHeaderSize: MAX_HEADER_BYTES,
    method,
    path: target,
    // Node's types do not have the raw shape.
    headers: headers as never,
  });
  // Node would leave out the fields beyond that many, in silence.
  outgoing.maxHeadersCount = 0;
  let answer: IncomingMessage | undefined;
  outgoing.once('response', (incoming) => {
    answer = incoming;
  });
  outgoing.on('error', (error) => {
    if (answer && !answer.complete) answer.destroy(error);
  });
  let informational = 0;
  outgoing.on('information', () => {
    informational += 1;
    if (informational <= MAX_INFORMATIONAL) return;
    const fault = `has more than ${MAX_INFORMATIONAL} informational ones (1xx) before it`;
    outgoing.destroy(new UnfitAnswerError(fault));
  });
  return outgoing;
}
