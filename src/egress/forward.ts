import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, formatAnswer } from '../http/answer.ts';
import { endWith } from '../http/last-answer.ts';
import { reset } from '../net/reset.ts';
import { parseHttpUri, type Target, TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { answerToFailure } from './answer.ts';
import { attemptOf } from './attempt.ts';
import { ExchangeError, exchange, isPlainlyFramed } from './exchange.ts';

export interface ForwardOptions {
  /** Milliseconds. */
  idleTimeout: number;
  /** This proxy's name in Via. */
  pseudonym: string;
}

/**
 * A plain HTTP request in absolute-form (RFC 9112, section 3.2.2), one connection for each:
 *
 *     whisper ── GET http://host/path ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                          └────▶ 4xx, 5xx
 *
 * @param expectsContinue the client waits for a 100 before it sends the body.
 */
export async function handleForward(
  admissions: Admissions,
  options: ForwardOptions,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<void> {
  const attempt = attemptOf('http', request, request.socket, () => readTarget(request).target);
  const admission = await admissions.admit(attempt);
  if (!admission.admitted) {
    refuse(request, response, admission.answer);
    return;
  }
  const { target, socket } = admission;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let failure: string | undefined;
  try {
    if (expectsContinue) response.writeContinue();
    const { path } = readTarget(request);
    await exchange({ ...options, target, path, socket }, request, response);
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error;
    failure = error.code;
    // With a reset even a client that takes the end of the connection for the end of the answer
    // sees that something is missing.
    if (response.headersSent) reset(request.socket);
    else refuse(request, response, answerToFailure(target, failure));
  } finally {
    socket.destroy();
    await closed;
    admission.end(failure);
  }
}

function readTarget(request: IncomingMessage): { target: Target; path: string } {
  if (request.httpVersionMajor !== 1) throw new TargetError('the request must be HTTP/1.1 or 1.0');
  if (request.httpVersion === '1.1' && request.headers.host === undefined) {
    throw new TargetError('the request has no Host field');
  }
  if (!isPlainlyFramed(request.headers['transfer-encoding'] ?? '')) {
    throw new TargetError('the only Transfer-Encoding that can be taken is chunked');
  }
  return parseHttpUri(request.url ?? '');
}

function refuse(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return;
  // Node would close the connection of a client that wants it closed on the rest of its upload, and
  // the reset would take the answer along. An answer that has to queue behind others has no socket.
  if (!request.complete && response.socket !== null) {
    request.resume();
    endWith(request.socket, formatAnswer(answer));
    return;
  }
  response.writeHead(answer.status, {
    ...answer.headers,
    'Content-Length': Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
  request.resume();
}
