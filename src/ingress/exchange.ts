import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { DecoratorHandler, type Dispatcher } from 'undici';
import { hasBody } from '../http/headers.ts';
import { peerAddress } from '../net/client-list.ts';
import { screenAnswer } from './answer.ts';
import { requestHeaders, toObject, toRaw } from './headers.ts';

const LENGTH_MISMATCH = 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';

/** A request on ingress and its response, as Node has them. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The request-target as it was sent. */
  url: string;
}

/**
 * What stands between @fastify/reply-from and undici. reply-from has a normalised URL and a parsed
 * header; this sends what the client sent, byte for byte where it may, lets the client's going away
 * end it, and screens the answer.
 * @param find gives the exchange that a path of reply-from's is about, unless its client has gone.
 * @param pseudonym this proxy's name in Via.
 */
export function createInterceptor(
  find: (path: string) => Exchange | undefined,
  pseudonym: string,
): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const exchange = find(options.path);
    if (!exchange) throw new Error('the client has gone');
    const { request, url } = exchange;
    const headers = requestHeaders(request, peerAddress(request.socket.remoteAddress), pseudonym);
    return dispatch(
      { ...options, path: url, headers, body: bodyOf(request) },
      screenHandler(handler, exchange),
    );
  };
}

/** Not the request itself: undici destroys a body that it gives up, and with it the client's socket. */
function bodyOf(request: IncomingMessage): Readable | null {
  return hasBody(request.rawHeaders) ? request.pipe(new PassThrough()) : null;
}

function screenHandler(
  handler: Dispatcher.DispatchHandler,
  { request, response }: Exchange,
): Dispatcher.DispatchHandler {
  const inner: Dispatcher.DispatchHandler = new DecoratorHandler(handler);
  let notModified = false;
  return {
    onRequestStart(controller, context) {
      const gone = () => controller.abort(new Error('the client has gone'));
      if (response.destroyed) gone();
      else response.once('close', gone);
      inner.onRequestStart?.(controller, context);
    },
    onResponseStart(controller, status, headers, statusMessage) {
      if (status < 200) return;
      notModified = status === 304;
      try {
        const screened = screenAnswer(status, toRaw(headers), request.headers.host);
        inner.onResponseStart?.(controller, status, toObject(screened), statusMessage);
      } catch (error) {
        controller.abort(error instanceof Error ? error : new Error(String(error)));
      }
    },
    onResponseData: (controller, chunk) => inner.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => inner.onResponseEnd?.(controller, trailers),
    onResponseError(controller, error) {
      // A 304 may tell the length of what it does not bring (RFC 9110, section 8.6); undici misses it.
      const isWhole = notModified && 'code' in error && error.code === LENGTH_MISMATCH;
      if (isWhole) inner.onResponseEnd?.(controller, {});
      else inner.onResponseError?.(controller, error);
    },
  };
}
