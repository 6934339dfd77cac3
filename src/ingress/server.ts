import { METHODS } from 'node:http';
import type { Socket } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Answer, formatAnswer } from '../http/answer.ts';
import { discardBody, endWith } from '../http/last-answer.ts';
import type { Logger } from '../log/logger.ts';
import { ForeignRedirectError, failureAnswer } from './failure.ts';
import { createRequester, EXCHANGE, type Exchange } from './requester.ts';
import { logIngress, type ScreenOptions, screen } from './screen.ts';
import { handleUpgrade } from './upgrade.ts';
import type { UpstreamConnector } from './upstream.ts';

/** Connections, silent ones included; what session-manager needs is a handful. */
const MAX_CONNECTIONS = 512;
const KEEP_ALIVE_DELAY_MS = 30_000;

export interface IngressOptions extends ScreenOptions {
  upstream: UpstreamConnector;
  logger: Logger;
}

/**
 * The way to whisper, not listening yet:
 *
 *     session-manager ── any request ─▶ screen ─▶ whisper ─▶ answer, screened too
 *                                         └─────▶ 4xx, 5xx
 */
export function createIngress(options: IngressOptions): FastifyInstance {
  const pool = options.upstream.createPool();
  const app = Fastify({
    // One route for everything: whisper reads the path, the proxy does not.
    rewriteUrl: () => '/',
    requestTimeout: 0,
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    http: { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS, noDelay: true },
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  app.removeAllContentTypeParsers();
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  for (const method of methods)
    app.addHttpMethod(method, { hasBody: true, overrideExisting: true });

  app.decorateRequest('exchange');
  app.addHook('onRequest', async (request, reply) => {
    const { raw, originalUrl: url } = request;
    request.setDecorator<Exchange>('exchange', { request: raw, response: reply.raw, url });
    const refusal = await screen(options, raw, url);
    if (refusal) await send(reply, refusal);
  });
  app.setErrorHandler((error, request, reply) => fail(options, error, request, reply));
  app.register(httpProxy, {
    upstream: 'http://whisper',
    undici: { request: createRequester(pool, options.pseudonym) as unknown as typeof pool.request },
    httpMethods: methods as never,
    routes: ['/'],
    retryMethods: [],
    internalRewriteLocationHeader: false,
    disableRequestLogging: true,
    replyOptions: {
      rewriteRequestHeaders: (request) => carry(request as never) as never,
      onResponse: (_request, reply, response) => {
        const answer = reply as unknown as FastifyReply;
        answer.send((response as unknown as { stream: NodeJS.ReadableStream }).stream);
        // Server-sent events: the client waits for the header, the first event may take its time.
        answer.raw.flushHeaders();
      },
      onError: (reply, { error }) => {
        fail(
          options,
          error.cause ?? error,
          reply.request as never,
          reply as unknown as FastifyReply,
        );
      },
    },
  });
  app.addHook('onClose', () => pool.destroy());

  app.server.on('upgrade', (request, socket: Socket, head) => {
    handleUpgrade(options, app.routing, request, socket, head).catch((err: unknown) => {
      options.logger.error({ err }, 'an upgrade failed');
      socket.destroy();
    });
  });
  app.server.on('connect', async (request, socket: Socket) => {
    socket.on('error', () => undefined);
    const refusal = await screen(options, request, request.url ?? '');
    if (refusal) endWith(socket, formatAnswer(refusal));
  });
  return app;
}

function carry(request: FastifyRequest): { [EXCHANGE]: Exchange } {
  return { [EXCHANGE]: request.getDecorator<Exchange>('exchange') };
}

function fail(
  options: IngressOptions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  if (error instanceof ForeignRedirectError) {
    logIngress(options.log, request.raw, 'foreign_redirect', error.message);
  }
  return send(reply, failureAnswer(error, String(options.upstream)));
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  discardBody(reply.request.raw);
  return reply.code(status).headers(headers).send(body);
}
