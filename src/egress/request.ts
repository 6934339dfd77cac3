import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, formatAnswer } from '../http/answer.ts';
import { endsInChunks, transferCoding } from '../http/framing.ts';
import { breakOff, endWith } from '../http/last-answer.ts';
import { isLastHop } from '../http/max-forwards.ts';
import type { Via } from '../log/decision-log.ts';
import { closeNow } from '../net/reset.ts';
import { type Target, TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { answerToFailure, type MessageFault } from './answer.ts';
import { attemptOf, checkMessage } from './attempt.ts';
import { ExchangeError, exchange } from './exchange.ts';

/** A target, and the origin-form to send there. */
export interface HttpTarget {
  target: Target;
  path: string;
}

export interface RequestOptions {
  via: Via;
  /** Reads where the request wants to go. Throws TargetError. */
  read: (request: IncomingMessage) => HttpTarget;
  /** Milliseconds. */
  idleTimeout: number;
  /** This proxy's name in Via. */
  pseudonym: string;
}

/**
 * A plain HTTP request, however its target is read (`forward`, `transparent-http`): one connection to
 * the target for each.
 * @param expectsContinue the client waits for a 100 before it sends the body.
 */
export async function handleRequest(
  admissions: Admissions,
  options: RequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<void> {
  const { via, idleTimeout, pseudonym } = options;
  let path = '/';
  const attempt = attemptOf(
    via,
    request.method ?? null,
    request.url || null,
    request.socket,
    () => {
      try {
        const read = readTarget(options, request);
        path = read.path;
        return read.target;
      } catch (error) {
        // Where what it says cannot be relied on, neither can what seems to be the next request.
        response.shouldKeepAlive = false;
        throw error;
      }
    },
    request,
  );
  const admission = await admissions.admit(attempt);
  if (!admission.admitted) {
    refuse(request, response, admission.answer);
    return;
  }
  const { target, socket, maxUpload } = admission;
  let failure: string | undefined;
  try {
    await exchange(
      {
        ...{ target, path, socket, idleTimeout, pseudonym, maxUpload, expectsContinue },
        onCut: (callback) => admission.onCut(callback),
      },
      request,
      response,
    );
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error;
    failure = error.code;
    await closeNow(socket);
    const answer =
      failure === 'upload_limit'
        ? admission.revoke(failure)
        : (admission.revoked ?? answerToFailure(target, failure));
    // With a reset even a client that takes the end of the connection for the end of the answer
    // sees that something is missing.
    if (response.headersSent) breakOff(response);
    else refuse(request, response, answer);
  } finally {
    await closeNow(socket);
    admission.end(failure);
  }
}

/** Checks what every form of a request has to be before its target is read. @throws TargetError */
function readTarget({ read }: RequestOptions, request: IncomingMessage): HttpTarget {
  checkMessage(request);
  const { rawHeaders, httpVersion } = request;
  const coding = transferCoding(rawHeaders);
  // RFC 9112, section 6.1.
  if (coding !== 'none' && httpVersion === '1.0') {
    throw new TargetError('an HTTP/1.0 request cannot have a Transfer-Encoding');
  }
  if (coding === 'other') {
    const sentence = 'the only Transfer-Encoding that can be taken is chunked';
    // Where chunked is not the last, the body has no end that could be relied on (section 6.3).
    const error: MessageFault | undefined = endsInChunks(rawHeaders)
      ? 'unsupported_coding'
      : undefined;
    throw new TargetError(sentence, 'bad_target', error);
  }
  if (isLastHop(request.method, rawHeaders)) {
    const sentence = 'Max-Forwards is 0, and the proxy itself answers no TRACE and no OPTIONS';
    throw new TargetError(sentence, 'bad_target', 'no_forwards_left' satisfies MessageFault);
  }
  return read(request);
}

function refuse(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return;
  // Node would close the connection of a client that wants it closed on the rest of its upload, and
  // the reset would take the answer along. An answer that has to queue behind others has no socket.
  if (!(request.complete && response.shouldKeepAlive) && response.socket !== null) {
    request.resume();
    endWith(request.socket, formatAnswer(answer, request.method));
    return;
  }
  response.writeHead(answer.status, answer.phrase, {
    ...answer.headers,
    'Content-Length': Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
  request.resume();
}
