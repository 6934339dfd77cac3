import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Answer, createAnswer, formatAnswer } from '../http/answer.ts';
import { transferCoding } from '../http/framing.ts';
import { values } from '../http/headers.ts';
import { endWith, MAX_OF_STRANGER } from '../http/last-answer.ts';
import { MAX_FIELDS } from '../http/limits.ts';
import { isLastHop } from '../http/max-forwards.ts';
import { isNextAnswer, type Unanswered } from '../http/pipeline.ts';
import { type DecisionLog, newId } from '../log/decision-log.ts';
import { type ClientCheck, type ClientList, peerAddress } from '../net/client-list.ts';
import type { Reason } from '../policy/decide.ts';
import { hasPassed } from './headers.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import { endAs, type IngressObserver, noteDenied, observeUnreadable } from './observer.ts';

const RETRY_SECONDS = 5;

export interface ScreenOptions {
  clients: ClientList;
  log: DecisionLog;
  observer: Required<IngressObserver>;
  /** This proxy's name in Via. */
  pseudonym: string;
}

interface Refusal {
  status: number;
  reason: Reason;
  type: string;
  sentence: string;
  /** Seconds. */
  retryAfter?: number;
  /** The name that may be the client's, and why it cannot be looked up. */
  unresolved?: { name: string; error: string };
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
  const stranger = strangerRefusal(await options.clients.check(client));
  const refusal = stranger ?? findFault(request, url, options.pseudonym);
  if (refusal === null) return null;
  noteDenied(request, refusal.reason);
  const { reason, unresolved } = refusal;
  const about = reason === 'client_not_allowed' ? (request.headers.host ?? null) : url;
  logIngress(options.log, request, reason, unresolved?.name ?? about, unresolved?.error);
  return createAnswer(refusal);
}

/** Answers a connection of a client that may not use whisper; nothing that it says is read. */
export function refuseStranger(
  { log, observer }: Pick<ScreenOptions, 'log' | 'observer'>,
  socket: Socket,
  check: ClientCheck,
): void {
  const refusal = strangerRefusal(check) ?? STRANGER;
  const { status, reason, unresolved } = refusal;
  logIngress(log, { socket }, reason, unresolved?.name ?? null, unresolved?.error);
  observeUnreadable(observer, socket, status, reason);
  endWith(socket, formatAnswer(createAnswer(refusal)), MAX_OF_STRANGER);
}

/** The refusal of a client that is not known, or not known to be one; null where it may use whisper. */
function strangerRefusal(check: ClientCheck): Refusal | null {
  if (check.allowed) return null;
  return check.unresolved === null ? STRANGER : unrecognised(check.unresolved);
}

/** Ends a connection that sends more than it may before its request has an answer, those before it included. */
export function dropEarly(
  { log, unanswered }: Pick<ScreenOptions, 'log'> & { unanswered: Unanswered },
  request: IncomingMessage,
  client: Socket,
): void {
  for (const { req } of unanswered.get(client) ?? []) noteDenied(req, 'bad_target');
  noteDenied(request, 'bad_target');
  logIngress(log, request, 'bad_target', request.url ?? null);
  client.destroy();
}

/**
 * Writes the line of a denied request to ingress.
 * @param host what it was about.
 * @param error the code of the error behind it.
 */
export function logIngress(
  log: DecisionLog,
  request: Pick<IncomingMessage, 'socket' | 'method'>,
  reason: Reason,
  host: string | null,
  error?: string,
): void {
  const client = peerAddress(request.socket.remoteAddress);
  const method = request.method ?? null;
  logDenial(log, reason, { client, method, host, ...(error === undefined ? {} : { error }) });
}

/** Writes the line of a denial at ingress, which may be a connection that was not heard. */
export function logDenial(
  log: DecisionLog,
  reason: Reason,
  about: { client: string | null; method?: string | null; host?: string | null; error?: string },
): void {
  log.decide({
    event: 'ingress',
    decision: 'deny',
    reason,
    rule: null,
    via: about.method === 'CONNECT' ? 'connect' : 'http',
    method: null,
    host: null,
    port: null,
    address: null,
    id: newId(),
    ...about,
  });
}

/**
 * What Node's parser refuses gets its line in the log and an answer like any other denial.
 * @param unanswered the answers that are still to come on that connection.
 */
export async function refuseUnreadable(
  { clients, log, observer }: Pick<ScreenOptions, 'clients' | 'log' | 'observer'>,
  error: NodeJS.ErrnoException,
  socket: Socket,
  unanswered: Unanswered,
): Promise<void> {
  if (
    error.code === 'ECONNRESET' ||
    !socket.writable ||
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  ) {
    socket.destroy();
    return;
  }
  // Its parser would complain of what comes next as well.
  socket.pause();
  const stranger = strangerRefusal(await clients.check(peerAddress(socket.remoteAddress)));
  const refusal = stranger ?? (error.code === 'HPE_HEADER_OVERFLOW' ? TOO_LONG : UNREADABLE);
  const { reason, unresolved } = refusal;
  logIngress(log, { socket }, reason, unresolved?.name ?? null, unresolved?.error);
  const [first] = unanswered.get(socket) ?? [];
  if (first === undefined) observeUnreadable(observer, socket, refusal.status, refusal.reason);
  // Its body cannot be read to its end.
  else if (!first.req.complete) noteDenied(first.req, refusal.reason);
  // Before or within another answer this one would be taken for it, or for a part of it.
  if (!isNextAnswer(unanswered, socket)) {
    socket.destroy();
    return;
  }
  if (first !== undefined) endAs(first.req, refusal.status);
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
  sentence: `the header of the request is longer than ${MAX_HEADER_BYTES / 1024} KiB.`,
};

const TOO_MANY: Refusal = {
  ...UNREADABLE,
  status: 431,
  sentence: `the header of the request has more than ${MAX_FIELDS} fields.`,
};

const STRANGER: Refusal = {
  status: 403,
  reason: 'client_not_allowed',
  type: 'http_request_denied',
  sentence: 'this client may not use whisper. INGRESS_CLIENTS names those that may.',
};

/** A client's name cannot be looked up, so nobody knows whether this is that client. */
function unrecognised(unresolved: { name: string; error: string }): Refusal {
  const { name, error } = unresolved;
  return {
    unresolved,
    status: 503,
    reason: 'dns_error',
    type: 'dns_error',
    sentence: `${name}, which INGRESS_CLIENTS names, cannot be looked up (${error}), so the proxy cannot tell whether this client may use whisper. Try again in a few seconds.`,
    retryAfter: RETRY_SECONDS,
  };
}

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

const WRONG_VERSION: Refusal = {
  status: 505,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'only HTTP/1.1 and HTTP/1.0 are spoken here.',
};

const UNKNOWN_CODING: Refusal = {
  status: 501,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'a Transfer-Encoding other than chunked is not supported (RFC 9112, section 6.1).',
};

const DOUBTFUL_FRAMING: Refusal = {
  ...UNKNOWN_CODING,
  status: 400,
  sentence: 'HTTP/1.0 has no Transfer-Encoding (RFC 9112, section 6.1).',
};

const UNKNOWN_EXPECTATION: Refusal = {
  status: 417,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence: 'Expect may have the value 100-continue and no other (RFC 9110, section 10.1.1).',
};

const LAST_HOP: Refusal = {
  status: 501,
  reason: 'bad_target',
  type: 'http_request_error',
  sentence:
    'Max-Forwards is 0, and the proxy itself answers no TRACE and no OPTIONS (RFC 9110, section 7.6.2).',
};

function findFault(request: IncomingMessage, url: string, pseudonym: string): Refusal | null {
  const { method, rawHeaders, httpVersion, httpVersionMajor } = request;
  if (httpVersionMajor !== 1) return WRONG_VERSION;
  if (rawHeaders.length / 2 > MAX_FIELDS) return TOO_MANY;
  const isForWhisper = url.startsWith('/') || (method === 'OPTIONS' && url === '*');
  if (method === 'CONNECT' || !isForWhisper) return NOT_A_PROXY;
  const hosts = values(rawHeaders, 'host').length;
  if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0')) return AMBIGUOUS_HOST;
  if (hasPassed(request, pseudonym)) return LOOP;
  return findFramingFault(request) ?? (isLastHop(method, rawHeaders) ? LAST_HOP : null);
}

function findFramingFault({ rawHeaders, httpVersion }: IncomingMessage): Refusal | null {
  const coding = transferCoding(rawHeaders);
  if (coding !== 'none' && httpVersion === '1.0') return DOUBTFUL_FRAMING;
  if (coding === 'other') return UNKNOWN_CODING;
  // HTTP/1.0 knows of no expectations (RFC 9110, section 10.1.1).
  const expectations = httpVersion === '1.0' ? [] : values(rawHeaders, 'expect');
  const isKnown = expectations.every((value) => value.trim().toLowerCase() === '100-continue');
  return isKnown ? null : UNKNOWN_EXPECTATION;
}
