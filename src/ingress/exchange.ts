import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { hasBody } from '../http/headers.ts';
import { breakOff } from '../http/last-answer.ts';
import { type ClientList, peerAddress } from '../net/client-list.ts';
import { screenAnswer, UnfitAnswerError } from './answer.ts';
import { askWhisper } from './ask.ts';
import { framing, ownOrigins, requestHeaders, toObject } from './headers.ts';
import type { HoldingConnector } from './hold.ts';

/** How long whisper may take to ask for a body that its client holds back (RFC 9110, section 10.1.1). */
const CONTINUE_TIMEOUT_MS = 1_000;
const NOTHING = Buffer.alloc(0);
/** How often it is looked whether a client is still there whose body is not being read. */
const LOOK_MS = 1_000;
const UNASKED_SWITCH = 'changes the protocol unasked';

/** A request on ingress and its response, as Node has them. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The request-target as it was sent. */
  url: string;
  /** The client waits for a 100 before it sends the body. */
  expectsContinue: boolean;
}

export interface ExchangeOptions {
  upstream: HoldingConnector;
  /** Whose X-Forwarded-* fields are passed on. */
  trusted: ClientList;
  /** This proxy's name in Via. */
  pseudonym: string;
}

/** Whisper's answer, with the fields that reach the client. */
export interface WhisperAnswer {
  statusCode: number;
  headers: Record<string, string | string[]>;
  /** It fails if the answer is cut off; the client's connection has been broken off by then. */
  body: IncomingMessage;
}

/**
 * Sends a request to whisper as the client sent it, byte for byte where it may, and screens the answer.
 * The connection is a fresh one: one that was used before may be closed by whisper at any moment, and
 * a request that is lost then may not be sent again. The client's going away ends it all.
 * @throws DialError, UnfitAnswerError, or the error of Node's parser or of the connection.
 */
export async function exchange(
  { upstream, trusted, pseudonym }: ExchangeOptions,
  { request, response, url, expectsContinue }: Exchange,
): Promise<WhisperAnswer> {
  const gone = closed(response);
  lookForReset(request, gone);
  const address = peerAddress(request.socket.remoteAddress);
  const isTrusted = await trusted.allows(address);
  const socket = await upstream.connect(gone);
  return new Promise((resolve, reject) => {
    const outgoing = askWhisper(socket, {
      method: request.method,
      target: url,
      headers: [
        ...requestHeaders(request, { address, isTrusted }, pseudonym),
        ...framing(request),
        ...(expectsContinue ? ['Expect', '100-continue'] : []),
        ...['Connection', 'close'],
      ],
    });
    const stopWaiting = sendBody(outgoing, request, response, expectsContinue);
    const stop = () => {
      stopWaiting();
      request.unpipe(outgoing);
      outgoing.destroy();
      socket.destroy();
    };
    const fail = (error: unknown) => {
      stop();
      reject(error);
    };
    outgoing.on('error', fail);
    outgoing.once('upgrade', () => fail(new UnfitAnswerError(UNASKED_SWITCH)));
    outgoing.once('response', (answer) => {
      // It has failed already, and the error is about to be told.
      if (outgoing.destroyed) return;
      stopWaiting();
      answer.on('error', () => cutOff(response)).once('end', stop);
      try {
        if (answer.statusCode === 101) throw new UnfitAnswerError(UNASKED_SWITCH);
        const headers = toObject(screenAnswer(answer, ownOrigins(request, isTrusted)));
        resolve({ statusCode: answer.statusCode ?? 0, headers, body: answer });
      } catch (error) {
        fail(error);
      }
    });
    if (gone.aborted) fail(new Error('the client has gone'));
    else gone.addEventListener('abort', stop);
  });
}

/**
 * Sends the body on. A client that holds it back is told to go on when whisper says so, or says
 * nothing for a moment: not every server knows what it is expected to say.
 * @returns a function that gives up waiting, since whisper has answered without the body.
 */
function sendBody(
  outgoing: ClientRequest,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): () => void {
  const noWaiting = () => undefined;
  // A body goes only behind a field that frames it: else it would be read as the next request.
  if (!hasBody(request.rawHeaders)) {
    outgoing.end();
    return noWaiting;
  }
  if (!expectsContinue) {
    request.pipe(outgoing);
    return noWaiting;
  }
  let isWaiting = true;
  const stopWaiting = () => {
    isWaiting = false;
    clearTimeout(timer);
  };
  const goOn = () => {
    if (!isWaiting) return;
    stopWaiting();
    response.writeContinue();
    request.pipe(outgoing);
  };
  const timer = setTimeout(goOn, CONTINUE_TIMEOUT_MS);
  outgoing.once('continue', goOn);
  return () => {
    if (!isWaiting) return;
    stopWaiting();
    // Should it come all the same, it must not hide that the client goes away.
    request.resume();
  };
}

/**
 * Ends an answer that whisper has cut off. Before its header was sent, the client is told so instead;
 * where its framing shows what is missing, the client may have what there is.
 */
function cutOff(response: ServerResponse): void {
  if (!response.headersSent) return;
  const isFramed = response.chunkedEncoding || response.hasHeader('content-length');
  if (isFramed && response.socket !== null) response.destroy();
  else breakOff(response);
}

/**
 * Notices that a client has reset its connection while nobody reads its body, since whisper is not there
 * or takes no more: Node learns of it by reading or writing alone. Its FIN would come behind the body.
 */
function lookForReset(request: IncomingMessage, gone: AbortSignal): void {
  if (request.complete || gone.aborted) return;
  const { socket } = request;
  const timer = setInterval(() => {
    if (socket.writable && socket.writableLength === 0) socket.write(NOTHING);
  }, LOOK_MS).unref();
  const stop = () => clearInterval(timer);
  gone.addEventListener('abort', stop);
  request.once('end', stop);
}

/** A signal that a response will not reach its client any more. */
function closed(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (response.destroyed) controller.abort();
  else response.once('close', () => controller.abort());
  return controller.signal;
}
