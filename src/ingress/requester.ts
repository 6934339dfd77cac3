import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher, Pool } from 'undici';
import { hasBody } from '../http/headers.ts';
import { peerAddress } from '../net/client-list.ts';
import { ForeignRedirectError } from './failure.ts';
import { requestHeaders, responseHeaders, toObject, toRaw } from './headers.ts';
import { findForeignRedirect } from './redirect.ts';

/** Where reply-from's request header object carries the exchange to our requester. */
export const EXCHANGE: unique symbol = Symbol('exchange');

/** A request on ingress and its response, as Node has them. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The request-target as it was sent. */
  url: string;
}

type Callback = (error: Error | null, response?: Dispatcher.ResponseData) => void;

/**
 * The `request` function that @fastify/reply-from calls on its undici instance. reply-from has a
 * normalised URL, a parsed header and no request at hand; this sends what the client sent, byte for
 * byte where it may, and lets the client's going away end it.
 * @param pseudonym this proxy's name in Via.
 */
export function createRequester(pool: Pool, pseudonym: string) {
  return (options: { headers: { [EXCHANGE]: Exchange } }, callback: Callback): void => {
    const { request, response, url } = options.headers[EXCHANGE];
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    pool.request(
      {
        method: request.method as Dispatcher.HttpMethod,
        path: url,
        headers: requestHeaders(request, peerAddress(request.socket.remoteAddress), pseudonym),
        body: hasBody(request.rawHeaders) ? request : null,
        signal: gone.signal,
      },
      (error, answer) => {
        if (error) {
          callback(error);
          return;
        }
        const raw = toRaw(answer.headers);
        const foreign = findForeignRedirect(raw, request.headers.host);
        if (foreign === null) {
          callback(null, { ...answer, headers: toObject(responseHeaders(raw)) });
          return;
        }
        answer.body.on('error', () => undefined).destroy();
        callback(new ForeignRedirectError(foreign));
      },
    );
  };
}
