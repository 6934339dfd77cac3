import { request } from 'node:http';

/** What the proxy itself answers; see `createAnswer` for the fields. */
export interface ProxyAnswer {
  status: number;
  /** X-Whisper-Proxy-Reason. */
  reason: string | null;
}

/** Whoever is going to answer at all takes a connection sooner. */
const CONNECT_LIMIT_MS = 2_500;
/** Long enough for a proxy that is busy, or that looks a name up. */
export const ASK_LIMIT_MS = 5_000;

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

function hostOf(method: 'GET' | 'CONNECT', target: string): string {
  if (method === 'CONNECT') return target;
  return /^http:\/\/([^/]+)/.exec(target)?.[1] ?? 'whisper:7860';
}

function read(status: number | undefined, headers: NodeJS.Dict<string | string[]>): ProxyAnswer {
  const reason = headers['x-whisper-proxy-reason'];
  return { status: status ?? 0, reason: typeof reason === 'string' ? reason : null };
}
