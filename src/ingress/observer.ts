import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * What became of a request: the status of its answer, or there was no whole answer, because the client
 * went away or because the proxy or whisper broke it off.
 */
export type Outcome = number | 'client_closed' | 'cut_off';

/** A request that is over. */
export interface RequestEnd {
  /** As it was sent; null: it could not be read. */
  method: string | null;
  outcome: Outcome;
  /** From the end of its header to the end of its answer. */
  duration_ms: number;
}

/** Whoever wants to know of every connection, request and WebSocket of ingress, refused ones included. */
export interface IngressObserver {
  connected(socket: Socket): void;
  requestBegan(): void;
  requestEnded(end: RequestEnd): void;
  /** Whisper has agreed to a WebSocket; the request for it has ended with 101. */
  webSocketBegan(): void;
  webSocketEnded(): void;
}

/** Ends a request; the first outcome counts. */
export type EndRequest = (outcome: Outcome) => void;

/** Lets an observer see the requests that a listener answers. */
export function observeRequests(
  observer: IngressObserver,
  listener: RequestListener,
): RequestListener {
  return (request, response) => {
    const end = beginRequest(observer, request, response);
    response.once('finish', () => end(response.statusCode));
    listener(request, response);
  };
}

/**
 * Tells an observer that a request has begun.
 * @param carrier what closes at the latest when the request is over: its response, or its connection.
 */
export function beginRequest(
  observer: IngressObserver,
  { method = '', socket }: IncomingMessage,
  carrier: ServerResponse | Socket,
): EndRequest {
  const started = performance.now();
  let isOver = false;
  observer.requestBegan();
  const end: EndRequest = (outcome) => {
    if (isOver) return;
    isOver = true;
    observer.requestEnded({ method, outcome, duration_ms: performance.now() - started });
  };
  carrier.once('close', () =>
    end(socket.readableEnded || socket.errored ? 'client_closed' : 'cut_off'),
  );
  return end;
}
