import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Answer, createAnswer, formatAnswer } from '../http/answer.ts';
import { values } from '../http/headers.ts';
import { endWith } from '../http/last-answer.ts';
import { type DecisionLog, newId } from '../log/decision-log.ts';
import { type ClientList, peerAddress } from '../net/client-list.ts';
import type { Reason } from '../policy/decide.ts';
import { hasPassed } from './headers.ts';
import type { IngressObserver } from './observer.ts';

export interface ScreenOptions {
  clients: ClientList;
  log: DecisionLog;
  observer: IngressObserver;
  /** This proxy's name in Via. */
  pseudonym: string;
}

interface Refusal {
  status: number;
  reason: Reason;
  type: string;
  sentence: string;
}

/**
 * What every request to ingress has to pass, whether it is an ordinary one, an upgrade or CONNECT:
 * it comes from a client that may, it is for whisper alone, and it has not been here before.
 * @param url the request-target as it was sent.
 * @returns the answer that refuses it, after it was logged; or null.
 */
export async function screen(
  options: ScreenOptions,
  request: IncomingMessage,
  url: string,
): Promise<Answer | null> {
  const client = peerAddress(request.socket.remoteAddress);
  const refusal = (await options.clients.allows(client))
    ? findFault(request, url, options.pseudonym)
    : STRANGER;
  if (refusal === null) return null;
  const about = refusal.reason === 'client_not_allowed' ? (request.headers.host ?? null) : url;
  logIngress(options.log, request, refusal.reason, about);
  return createAnswer(refusal);
}

/** Writes the line of a denied request to ingress. @param host what it was about. */
export function logIngress(
  log: DecisionLog,
  request: Pick<IncomingMessage, 'socket' | 'method'>,
  reason: Reason,
  host: string | null,
): void {
  log.decide({
    event: 'ingress',
    decision: 'deny',
    reason,
    rule: null,
    via: request.method === 'CONNECT' ? 'connect' : 'http',
    method: request.method ?? null,
    host,
    port: null,
    address: null,
    client: peerAddress(request.socket.remoteAddress),
    id: newId(),
  });
}

/** What Node's parser refuses gets its line in the log and an answer like any other denial. */
export function refuseUnreadable(
  { log, observer }: Pick<ScreenOptions, 'log' | 'observer'>,
  error: NodeJS.ErrnoException,
  socket: Socket,
): void {
  if (
    error.code === 'ECONNRESET' ||
    !socket.writable ||
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  ) {
    socket.destroy();
    return;
  }
  const refusal = error.code === 'HPE_HEADER_OVERFLOW' ? TOO_LONG : UNREADABLE;
  logIngress(log, { socket }, refusal.reason, null);
  // Within another answer this one would be taken for a part of it.
  if (socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  observer.requestBegan();
  observer.requestEnded({ method: null, outcome: refusal.status, duration_ms: 0 });
  endWith(socket, formatAnswer(createAnswer(refusal)));
}

const UNREADABLE: Refusal = {
  status: 400,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'the request cannot be read as HTTP.',
};

const TOO_LONG: Refusal = {
  ...UNREADABLE,
  status: 431,
  sentence: 'the header of the request is longer than 16 KiB.',
};

const STRANGER: Refusal = {
  status: 403,
  reason: 'client_not_allowed',
  type: 'http_request_denied',
  sentence: 'this client may not use whisper. INGRESS_CLIENTS names those that may.',
};

const NOT_A_PROXY: Refusal = {
  status: 400,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'this port leads to whisper and nowhere else: the request-target must begin with a /.',
};

const AMBIGUOUS_HOST: Refusal = {
  status: 400,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'a request has one Host field (RFC 9112, section 3.2).',
};

const LOOP: Refusal = {
  status: 508,
  reason: 'bad_target',
  type: 'proxy_loop_detected',
  sentence: 'this request has passed through the proxy already. Does UPSTREAM point back at it?',
};

function findFault(request: IncomingMessage, url: string, pseudonym: string): Refusal | null {
  if (request.method === 'CONNECT' || !url.startsWith('/')) return NOT_A_PROXY;
  if (values(request.rawHeaders, 'host').length > 1) return AMBIGUOUS_HOST;
  return hasPassed(request, pseudonym) ? LOOP : null;
}
