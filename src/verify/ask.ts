import { request } from 'node:http';
import { printable } from '../log/printable.ts';
import type { Outcome } from './probe.ts';

/** What the proxy itself answers; see `createAnswer` for the fields. */
export interface ProxyAnswer {
  status: number;
  /** X-Whisper-Proxy-Reason. */
  reason: string | null;
}

/** Whoever is going to answer at all takes a connection sooner. */
const CONNECT_LIMIT_MS = 2_500;
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
 * Sends one request that a proxy gets: CONNECT with `host:port`, or GET with a path or a URI. Nothing
 * is sent through a tunnel.
 * @throws Error with a code (ECONNREFUSED, ETIMEDOUT, ...) if no answer comes.
 */
export function askProxy(
  address: string,
  port: number,
  method: 'GET' | 'CONNECT',
  target: string,
  limitMs = ASK_LIMIT_MS,
): Promise<ProxyAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: address,
      port,
      method,
      path: target,
      headers: { host: hostOf(method, target) },
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
    outgoing.once('connect', (response, socket) => {
      socket.destroy();
      resolve(read(response.statusCode, response.headers));
    });
    outgoing.once('response', (response) => {
      resolve(read(response.statusCode, response.headers));
      response.destroy();
    });
    outgoing.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve(read(response.statusCode, response.headers));
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
  method: 'GET' | 'CONNECT',
  target: string,
): Promise<Outcome> {
  try {
    return judge(await askProxy(address, port, method, target));
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

function stateOf({ status, reason }: ProxyAnswer): Outcome['state'] {
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
