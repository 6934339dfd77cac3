import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { VERIFY_AGENT } from '../http/verify-mark.ts';
import { printable } from '../log/printable.ts';
import type { Outcome } from './probe.ts';

/** What the proxy itself answers; see `createAnswer` for the fields. */
export interface ProxyAnswer {
  status: number;
  /** X-Whisper-Proxy-Reason. */
  reason: string | null;
}

/** A request: CONNECT with `host:port`, or GET with a path or a URI. */
export interface Question {
  method: 'GET' | 'CONNECT';
  target: string;
  /** What its Host field says; without it, what belongs to the target. */
  host?: string;
}

/** Whoever is going to answer at all takes a connection sooner. */
export const CONNECT_LIMIT_MS = 2_500;
/** Long enough for a proxy that is busy, or that looks a name up. */
const ASK_LIMIT_MS = 5_000;

/** The reasons that the proxy has before it tries anything. */
const REFUSALS = new Set([
  'not_allowed',
  'deny_rule',
  'non_public_address',
  'bad_target',
  'client_not_allowed',
  'sni_mismatch',
  'no_sni',
]);
/** These say that it was allowed: the proxy has tried, or has had an answer from beyond. */
const TRIED = new Set(['connect_failed', 'dns_error', 'foreign_redirect']);

/**
 * Sends one request that a proxy gets. Nothing is sent through a tunnel.
 * @throws Error with a code (ECONNREFUSED, ETIMEDOUT, ...) if no answer comes.
 */
export async function askProxy(
  address: string,
  port: number,
  question: Question,
  limitMs?: number,
): Promise<ProxyAnswer> {
  const { answer, socket } = await openTunnel(address, port, question, limitMs);
  socket?.destroy();
  return answer;
}

/**
 * Does as `askProxy`, but leaves open what the answer to CONNECT has opened.
 * @returns the socket too, if there is a tunnel now; it has an `error` listener.
 */
export function openTunnel(
  address: string,
  port: number,
  { method, target, host = hostOf(method, target) }: Question,
  limitMs = ASK_LIMIT_MS,
): Promise<{ answer: ProxyAnswer; socket: Socket | null }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: address,
      port,
      method,
      path: target,
      headers: { host, 'user-agent': VERIFY_AGENT },
      agent: false,
    });
    const timer = setTimeout(() => {
      const error = new Error(`no answer within ${limitMs / 1000} s`);
      outgoing.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
    }, limitMs);
    outgoing.once('socket', (socket) => {
      socket.setTimeout(CONNECT_LIMIT_MS, () => {
        outgoing.destroy(Object.assign(new Error('no connection'), { code: 'ETIMEDOUT' }));
      });
      socket.once('connect', () => socket.setTimeout(0));
    });
    outgoing.once('close', () => clearTimeout(timer));
    outgoing.on('error', reject);
    const settle = ({ statusCode, headers }: IncomingMessage, socket: Socket | null) =>
      resolve({ answer: read(statusCode, headers), socket });
    outgoing.once('connect', (response, socket: Socket, head) => {
      socket.on('error', () => undefined);
      if (head.length > 0) socket.unshift(head);
      if (response.statusCode !== 200) socket.destroy();
      settle(response, response.statusCode === 200 ? socket : null);
    });
    outgoing.once('response', (response) => {
      settle(response, null);
      response.destroy();
    });
    outgoing.once('upgrade', (response, socket) => {
      socket.destroy();
      settle(response, null);
    });
    outgoing.end();
  });
}

/**
 * Asks for something that a proxy must refuse.
 * @param who the proxy, for people.
 */
export async function refusedBy(
  who: string,
  address: string,
  port: number,
  question: Question,
): Promise<Outcome> {
  try {
    return judge(await askProxy(address, port, question));
  } catch (error) {
    return { state: 'unknown', detail: `no answer from ${who}: ${codeOf(error)}` };
  }
}

/**
 * What an answer says about a way that must be closed. A status alone is no refusal: a host beyond the
 * proxy may have sent it (401 of a metadata service, 404 of whisper), and the proxy says its reason.
 */
export function judge(answer: ProxyAnswer): Outcome {
  return { state: stateOf(answer), detail: say(answer) };
}

/** Ingress lets nobody in whom it cannot recognise, because the name of a client cannot be looked up. */
export function isUnrecognised({ status, reason }: ProxyAnswer): boolean {
  return status === 503 && reason === 'dns_error';
}

function stateOf(answer: ProxyAnswer): Outcome['state'] {
  const { status, reason } = answer;
  if (isUnrecognised(answer)) return 'closed';
  if (reason === null) return status >= 500 ? 'unknown' : 'open';
  if (status < 400 || TRIED.has(reason)) return 'open';
  // Not for this once (too_many_connections), or for a reason that this version does not know.
  return REFUSALS.has(reason) ? 'closed' : 'unknown';
}

/** An answer for people. */
export function say({ status, reason }: ProxyAnswer): string {
  return reason === null ? String(status) : `${status} ${printable(reason)}`;
}

/** An error's code, or what it says. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

function hostOf(method: 'GET' | 'CONNECT', target: string): string {
  if (method === 'CONNECT') return target;
  return /^http:\/\/([^/]+)/.exec(target)?.[1] ?? 'whisper:7860';
}

function read(status: number | undefined, headers: NodeJS.Dict<string | string[]>): ProxyAnswer {
  const reason = headers['x-whisper-proxy-reason'];
  return { status: status ?? 0, reason: typeof reason === 'string' ? reason : null };
}
