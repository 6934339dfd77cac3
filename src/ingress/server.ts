import { createServer, type IncomingMessage, METHODS } from 'node:http';
import type { Socket } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Answer, formatAnswer } from '../http/answer.ts';
import { discardBody, endWith } from '../http/last-answer.ts';
import { limitPipelining } from '../http/pipeline.ts';
import type { Logger } from '../log/logger.ts';
import { limitCrowd } from '../net/crowd.ts';
import { ForeignRedirectError } from './answer.ts';
import { createInterceptor, type Exchange } from './exchange.ts';
import { failureAnswer } from './failure.ts';
import { beginRequest, observeRequests } from './observer.ts';
import { logIngress, refuseUnreadable, type ScreenOptions, screen } from './screen.ts';
import { handleUpgrade } from './upgrade.ts';
import type { UpstreamConnector } from './upstream.ts';

const SERVER_OPTIONS = {
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  keepAliveTimeout: 72_000,
  noDelay: true,
  // An upload may take as long as it likes.
  requestTimeout: 0,
};

/** Connections at a time; session-manager needs a handful. */
const CLIENTS = 512;
const STRANGERS = 64;

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
  const app = Fastify({
    // One route for everything: whisper reads the path, the proxy does not.
    rewriteUrl: () => '/',
    forceCloseConnections: 'idle',
    clientErrorHandler: (error, socket) => refuseUnreadable(options, error, socket),
    serverFactory: (listener) =>
      createServer(SERVER_OPTIONS, limitPipelining(observeRequests(options.observer, listener))),
  });
  app.server.maxHeadersCount = 0;
  app.server.on('connection', (socket) => options.observer.connected(socket));
  limitCrowd(app.server, options.clients, { known: CLIENTS, strangers: STRANGERS });
  addRelay(app, options, addScreen(app, options));
  addHandovers(app, options);
  return app;
}

/** @returns the exchanges under way, by the id of their request. */
function addScreen(
  app: FastifyInstance,
  options: ScreenOptions & { upstream: UpstreamConnector },
): ReadonlyMap<string, Exchange> {
  const exchanges = new Map<string, Exchange>();
  app.addHook('onRequest', async (request, reply) => {
    const { raw, originalUrl: url, id } = request;
    exchanges.set(id, { request: raw, response: reply.raw, url });
    reply.raw.once('close', () => exchanges.delete(id));
    const refusal = await screen(options, raw, url);
    if (refusal) await send(reply, refusal);
  });
  app.addHook('onResponse', async ({ raw }) => discardBody(raw));
  app.setErrorHandler((error, request: FastifyRequest, reply) => {
    if (error instanceof ForeignRedirectError) {
      logIngress(options.log, request.raw, 'foreign_redirect', error.message);
    }
    return send(reply, failureAnswer(error, String(options.upstream)));
  });
  return exchanges;
}

function addRelay(
  app: FastifyInstance,
  { upstream, pseudonym }: IngressOptions,
  exchanges: ReadonlyMap<string, Exchange>,
): void {
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  // Whatever the method, a body is none of Fastify's business: not its type, nor its size.
  for (const method of methods) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  const pool = upstream.createPool();
  const find = (path: string) => exchanges.get(path.slice('/?'.length));
  app.register(httpProxy, {
    upstream: 'http://whisper',
    undici: pool.compose(createInterceptor(find, pseudonym)),
    httpMethods: methods,
    routes: ['/'],
    retryMethods: [],
    internalRewriteLocationHeader: false,
    disableRequestLogging: true,
    replyOptions: {
      queryString: (_search, _url, { id }) => id,
      onResponse: ({ id }, reply, { stream }) => {
        // It is there if the answer comes before the upload has ended. Node, told to close, would
        // reset the connection and take the answer along.
        if (reply.hasHeader('connection')) reply.removeHeader('connection');
        reply.send(stream);
        const { response } = exchanges.get(id) ?? {};
        // Server-sent events: the client waits for the header, the first event may take its time.
        // Node's `flushHeaders` would write the bytes of the header as UTF-8.
        if (response?.writable) response.write(Buffer.alloc(0));
      },
      onError: (reply, { error }) => {
        reply.send(error.cause ?? error);
      },
    },
  });
  app.addHook('onClose', () => pool.destroy());
}

/** Requests after which HTTP leaves the connection alone. */
function addHandovers(app: FastifyInstance, options: IngressOptions): void {
  const handle = (handover: Promise<void>, socket: Socket) => {
    handover.catch((err: unknown) => {
      options.logger.error({ err }, 'a connection could not be handed over');
      socket.destroy();
    });
  };
  app.server.on('upgrade', (request, socket: Socket, head) => {
    handle(handleUpgrade(options, app.routing, request, socket, head), socket);
  });
  app.server.on('connect', (request, socket: Socket) => {
    handle(refuseConnect(options, request, socket), socket);
  });
}

async function refuseConnect(
  options: ScreenOptions,
  request: IncomingMessage,
  socket: Socket,
): Promise<void> {
  socket.on('error', () => undefined);
  const end = beginRequest(options.observer, request, socket);
  const refusal = await screen(options, request, request.url ?? '');
  if (!refusal) return;
  end(refusal.status);
  endWith(socket, formatAnswer(refusal));
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}
