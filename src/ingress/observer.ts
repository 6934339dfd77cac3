import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { peerAddress } from '../net/client-list.ts';
import type { Reason } from '../policy/decide.ts';

/**
 * What became of a request: the status of its answer, or there was no whole answer, because the client
 * went away or because the proxy or whisper broke it off.
 */
export type Outcome = number | 'client_closed' | 'cut_off';

/** What failed between the proxy and whisper, as error types of RFC 9209, section 2.3. */
export const FAILURE_REASONS = [
  'connection_refused',
  'connection_timeout',
  'connection_terminated',
  'http_protocol_error',
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Why whisper's answer did not reach the client whole. */
export interface IngressFailure {
  reason: FailureReason;
  /** The code of the error behind it, where there was one. */
  error: string | null;
}

/** A request to ingress, while it runs. */
export interface IngressRequest {
  /** Canonical address of who sent it; null on a unix socket. */
  client: string | null;
  /** As it was sent; null: it could not be read. */
  method: string | null;
  /** When its header had been read, in milliseconds since 1970. */
  started: number;
  /** The bytes of its connection since the previous request there: in from the client, out to it. */
  bytes(): { in: number; out: number };
}

/** How a request ended. */
export interface RequestEnd {
  outcome: Outcome;
  /** From the end of its header to the end of its answer. */
  duration_ms: number;
  bytes_in: number;
  bytes_out: number;
  /** Why the proxy refused it; null: it was passed on to whisper. */
  denied: Reason | null;
  /** Why there was no answer of whisper's, or not all of it. */
  failure: IngressFailure | null;
}

/** Whoever wants to know of every connection, request and WebSocket of ingress, refused ones included. */
export interface IngressObserver {
  connected?(socket: Socket): void;
  requestBegan?(request: IngressRequest): void;
  /** @param request the same object as when it began. */
  requestEnded(request: IngressRequest, end: RequestEnd): void;
  /** Whisper has agreed to a WebSocket; the request for it has ended with 101. */
  webSocketBegan?(): void;
  webSocketEnded?(): void;
}

/** One observer for several, each of which is told of everything. */
export function observeTogether(observers: readonly IngressObserver[]): Required<IngressObserver> {
  return {
    connected: (socket) => {
      for (const each of observers) each.connected?.(socket);
    },
    requestBegan: (request) => {
      for (const each of observers) each.requestBegan?.(request);
    },
    requestEnded: (request, end) => {
      for (const each of observers) each.requestEnded(request, end);
    },
    webSocketBegan: () => {
      for (const each of observers) each.webSocketBegan?.();
    },
    webSocketEnded: () => {
      for (const each of observers) each.webSocketEnded?.();
    },
  };
}

/** Ends a request; the first outcome counts. */
export type EndRequest = (outcome: Outcome) => void;

const NOTE = Symbol("why whisper's answer is missing");
const COUNTED = Symbol('bytes of the requests that are over');

const END = Symbol('ends the request');

type Noted = object & {
  [NOTE]?: Pick<RequestEnd, 'denied' | 'failure'>;
  [END]?: EndRequest;
};
type Counted = Socket & { [COUNTED]?: { in: number; out: number } };

/** Notes that the proxy refuses a request. To be called before the request ends. */
export function noteDenied(request: Noted, reason: Reason): void {
  request[NOTE] ??= { denied: reason, failure: null };
}

/** Notes why a request gets no answer of whisper's, or not all of it. To be called before it ends. */
export function noteFailure(request: Noted, failure: IngressFailure): void {
  request[NOTE] ??= { denied: null, failure };
}

/** Ends a request whose answer went by its connection, not by its response. */
export function endAs(request: Noted, outcome: Outcome): void {
  request[END]?.(outcome);
}

/** Lets an observer see the requests that a listener answers. */
export function observeRequests(
  observer: Required<IngressObserver>,
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
  observer: Required<IngressObserver>,
  message: IncomingMessage,
  carrier: ServerResponse | Socket,
): EndRequest {
  const { method = '' } = message;
  const socket: Counted = message.socket;
  const began = performance.now();
  const request: IngressRequest = {
    client: peerAddress(socket.remoteAddress),
    method,
    started: Date.now(),
    bytes: () => bytesOf(socket),
  };
  let isOver = false;
  observer.requestBegan(request);
  const end: EndRequest = (outcome) => {
    if (isOver) return;
    isOver = true;
    const bytes = bytesOf(socket);
    socket[COUNTED] = { in: socket.bytesRead, out: socket.bytesWritten };
    observer.requestEnded(request, {
      outcome,
      duration_ms: performance.now() - began,
      bytes_in: bytes.in,
      bytes_out: bytes.out,
      ...explain(message, outcome),
    });
  };
  (message as Noted)[END] = end;
  carrier.once('close', () =>
    end(socket.readableEnded || socket.errored ? 'client_closed' : 'cut_off'),
  );
  return end;
}

/** Tells an observer of a request that could not be read, and has its answer. */
export function observeUnreadable(
  observer: Required<IngressObserver>,
  socket: Socket,
  status: number,
  reason: Reason,
): void {
  const request: IngressRequest = {
    client: peerAddress(socket.remoteAddress),
    method: null,
    started: Date.now(),
    bytes: () => bytesOf(socket),
  };
  observer.requestBegan(request);
  const { in: bytes_in, out: bytes_out } = bytesOf(socket);
  const end = { outcome: status, duration_ms: 0, bytes_in, bytes_out };
  observer.requestEnded(request, { ...end, denied: reason, failure: null });
}

function bytesOf(socket: Counted): { in: number; out: number } {
  const counted = socket[COUNTED] ?? { in: 0, out: 0 };
  return {
    in: Math.max(0, socket.bytesRead - counted.in),
    out: Math.max(0, socket.bytesWritten - counted.out),
  };
}

function explain(message: Noted, outcome: Outcome): Pick<RequestEnd, 'denied' | 'failure'> {
  const { denied, failure } = message[NOTE] ?? { denied: null, failure: null };
  // The connection to whisper ends with its client, and that is no failure.
  if (outcome === 'client_closed' || denied !== null) return { denied, failure: null };
  if (outcome !== 'cut_off') return { denied, failure };
  return { denied, failure: failure ?? { reason: 'connection_terminated', error: null } };
}
