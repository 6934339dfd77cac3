import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { hostFieldFault } from '../http/host-field.ts';

/** Why a request is turned away. */
interface Refusal {
  status: number;
  headers?: Record<string, string>;
  error: string;
}

/** In every answer: it is for its own page alone, which asks nobody else, and it is kept nowhere. */
export const SECURITY_HEADERS = new Map([
  [
    'Content-Security-Policy',
    [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "img-src 'self' data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  ],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['X-Frame-Options', 'DENY'],
  ['Cache-Control', 'no-store'],
]);

const NAMES = new Set(['localhost', 'whisper-proxy']);
const HOST = /^(\[[^[\]]+\]|[^:[\]]+)(?::\d{1,5})?$/;

/** Lets the admin listener answer only what reads, under its own names, for its own page. */
export function guard(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    // On the raw answer, so that a stream that is written past fastify has them too.
    reply.raw.setHeaders(SECURITY_HEADERS);
    const refusal = refuse(request.raw);
    if (refusal === null) return;
    const { status, headers = {}, error } = refusal;
    await reply.code(status).headers(headers).send({ error });
  });
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ error: 'there is nothing here; the status page is at /' }),
  );
}

function refuse(request: IncomingMessage): Refusal | null {
  const { method = '', headers } = request;
  const fault = hostFieldFault(request);
  if (fault !== null) return { status: 400, error: fault };
  if (method !== 'GET' && method !== 'HEAD') {
    const error = 'this listener only reads: GET and HEAD';
    return { status: 405, headers: { Allow: 'GET, HEAD' }, error };
  }
  if (!isOwnHost(headers.host)) {
    const error =
      'this listener answers under an IP address, localhost or whisper-proxy, and under no other name';
    return { status: 421, error };
  }
  if (isFromElsewhere(headers)) {
    return { status: 403, error: 'this listener answers no page but its own' };
  }
  return null;
}

/**
 * Whether a Host field can be ours. A name that its owner can point here, after a page of his has
 * been loaded (DNS rebinding), would make us one origin with that page.
 */
function isOwnHost(host: string | undefined): boolean {
  const name = HOST.exec(host ?? '')?.[1] ?? '';
  return isIP(name.replace(/^\[|\]$/g, '')) !== 0 || NAMES.has(name.toLowerCase());
}

/** Whether a browser says that another origin's page is behind the request. */
function isFromElsewhere({ host, origin, ...headers }: IncomingMessage['headers']): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  if (origin === undefined) return false;
  return origin !== `http://${host}` && origin !== `https://${host}`;
}
