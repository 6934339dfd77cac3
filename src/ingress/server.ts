import { createServer, type IncomingMessage, METHODS, type Server } from 'node:http';
import type { Socket } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Answer, formatAnswer } from '../http/answer.ts';
import { hasBody } from '../http/headers.ts';
import { discardBody, endWith } from '../http/last-answer.ts';
import { SHOWN_FIELDS } from '../http/limits.ts';
import { limitPipelining, type Unanswered, untilAnswered } from '../http/pipeline.ts';
import type { Logger } from '../log/logger.ts';
import type { ClientList } from '../net/client-list.ts';
import { limitCrowd } from '../net/crowd.ts';
import { ForeignRedirectError } from './answer.ts';
import { EarlyBytes } from './early-bytes.ts';
import { type Exchange, type ExchangeOptions, exchange, type WhisperAnswer } from './exchange.ts';
import { classifyFailure, failureAnswer } from './failure.ts';
import { HoldingConnector } from './hold.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import {
  beginRequest,
  type IngressObserver,
  noteDenied,
  noteFailure,
  observeRequests,
} from './observer.ts';
import {
  dropEarly,
  logDenial,
  logIngress,
  refuseStranger,
  refuseUnreadable,
  type ScreenOptions,
  screen,
} from './screen.ts';
import { handleUpgrade, type UpgradeOptions } from './upgrade.ts';
import type { UpstreamConnector } from './upstream.ts';

const HEADERS_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 1_000;

const SERVER_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  // Node's own answer to it would ask nobody who the client is.
  requireHostHeader: false,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  keepAliveTimeout: 72_000,
  noDelay: true,
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  // An upload may take as long as it likes.
  requestTimeout: 0,
};

/** Connections at a time; session-manager needs a handful. */
const CLIENTS = 512;
const STRANGERS = 64;

/** Why a connection is closed unheard. */
const DROPPED = 'too_many_connections';

export interface IngressOptions extends ScreenOptions {
  upstream: UpstreamConnector;
  /** How long a request waits for a whisper that is not there, in milliseconds; null: not at all. */
  holdTimeout: number | null;
  /** Whose X-Forwarded-* fields are passed on. */
  trusted: ClientList;
  logger: Logger;
}

/**
 * The way to whisper, not listening yet:
 *
 *     session-manager ── any request ─▶ screen ─▶ whisper ─▶ answer, screened too
 *                                         └─────▶ 4xx, 5xx
 */
export function createIngress(options: IngressOptions): FastifyInstance {
  const unanswered: Unanswered = new WeakMap();
  const expecting = new WeakSet<IncomingMessage>();
  const unreadable = new WeakSet<Socket>();
  const app = Fastify({
    // One route for everything: whisper reads the path, the proxy does not.
    rewriteUrl: () => '/',
    forceCloseConnections: 'idle',
    clientErrorHandler: (error, socket) => {
      if (unreadable.has(socket)) return;
      unreadable.add(socket);
      orDestroy(options.logger, refuseUnreadable(options, error, socket, unanswered), socket);
    },
    serverFactory: (listener) => {
      const observed = observeRequests(options.observer, listener);
      const handle = limitPipelining(observed, unanswered, (dropped) => {
        for (const request of dropped) noteDenied(request, DROPPED);
        const [request] = dropped;
        if (request) logIngress(options.log, request, DROPPED, null);
      });
      // Without these two Node would itself say 100 or 417, and ask nobody who the client is.
      return createServer(SERVER_OPTIONS, handle)
        .on('checkContinue', (request, response) => {
          expecting.add(request);
          handle(request, response);
        })
        .on('checkExpectation', handle);
    },
  });
  app.server.maxHeadersCount = SHOWN_FIELDS;
  const limits = { known: CLIENTS, strangers: STRANGERS };
  limitCrowd(app.server, options.clients, limits, {
    refuse: (socket, check) => refuseStranger(options, socket, check),
    onDrop: (client, isKnown) => {
      logDenial(options.log, isKnown ? DROPPED : 'client_not_allowed', { client });
    },
  });
  observeConnections(app.server, options.observer);
  const upstream = new HoldingConnector(options.upstream, options.holdTimeout);
  addRelay(app, { ...options, upstream }, addScreen(app, options, expecting));
  addHandovers(app, { ...options, upstream, unanswered });
  return app;
}

/** @returns the exchanges under way, by the id of their request. */
function addScreen(
  app: FastifyInstance,
  options: ScreenOptions & { upstream: UpstreamConnector },
  expecting: WeakSet<IncomingMessage>,
): ReadonlyMap<string, Exchange> {
  const exchanges = new Map<string, Exchange>();
  app.addHook('onRequest', async (request, reply) => {
    const { raw, originalUrl: url, id } = request;
    const expectsContinue = expecting.has(raw) && hasBody(raw.rawHeaders);
    exchanges.set(id, { request: raw, response: reply.raw, url, expectsContinue });
    reply.raw.once('close', () => exchanges.delete(id));
    const refusal = await screen(options, raw, url);
    if (refusal) await send(reply, refusal);
  });
  app.addHook('onResponse', async ({ raw }) => discardBody(raw));
  app.setErrorHandler((error, request: FastifyRequest, reply) => {
    if (error instanceof ForeignRedirectError) {
      logIngress(options.log, request.raw, 'foreign_redirect', error.message);
    } else noteFailure(request.raw, classifyFailure(error));
    return send(reply, failureAnswer(error, String(options.upstream)));
  });
  return exchanges;
}

function addRelay(
  app: FastifyInstance,
  options: ExchangeOptions,
  exchanges: ReadonlyMap<string, Exchange>,
): void {
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  // Whatever the method, a body is none of Fastify's business: not its type, nor its size.
  for (const method of methods) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  app.register(httpProxy, {
    upstream: 'http://whisper',
    undici: createClient(options, exchanges),
    httpMethods: methods,
    routes: ['/'],
    retryMethods: [],
    internalRewriteLocationHeader: false,
    disableRequestLogging: true,
    replyOptions: {
      queryString: (_search, _url, { id }) => id,
      onResponse: ({ id, raw }, reply, { stream }) => {
        // It is there if the answer comes before the upload has ended. Node, told to close, would
        // reset the connection and take the answer along.
        if (reply.hasHeader('connection')) reply.removeHeader('connection');
        stream.once('error', (error: unknown) => noteFailure(raw, classifyFailure(error)));
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
}

/**
 * What @fastify/reply-from takes for an undici dispatcher. It has a normalised URL and a parsed
 * header; what the client sent is found by the id of its request, which the URL has as its query.
 */
function createClient(options: ExchangeOptions, exchanges: ReadonlyMap<string, Exchange>) {
  const idOf = (path: string) => path.slice('/?'.length);
  const ask = async (path: string): Promise<WhisperAnswer> => {
    const asked = exchanges.get(idOf(path));
    if (!asked) throw new Error('the client has gone');
    return exchange(options, asked);
  };
  const request = (
    { path }: { path: string },
    done: (error: Error | null, answer?: WhisperAnswer) => void,
  ) => {
    // Whatever is wrong in what follows, one answer is not to end the program.
    ask(path)
      .then((answer) => done(null, answer), done)
      .catch(() => exchanges.get(idOf(path))?.response.destroy());
  };
  return { request: request as never };
}

/** Requests after which Node's parser leaves the connection alone. */
function addHandovers(app: FastifyInstance, options: UpgradeOptions & { logger: Logger }): void {
  const { server } = app;
  server.on('upgrade', (request, socket: Socket, head) => {
    const handled = handleUpgrade(options, server, request, socket, head);
    orDestroy(options.logger, handled, socket);
  });
  server.on('connect', (request, socket: Socket, head: Buffer) => {
    orDestroy(options.logger, refuseConnect(options, request, socket, head), socket);
  });
}

async function refuseConnect(
  options: ScreenOptions & { unanswered: Unanswered },
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  socket.on('error', () => undefined);
  const end = beginRequest(options.observer, request, socket);
  const early = new EarlyBytes(socket, head, () => dropEarly(options, request, socket));
  early.gone.addEventListener('abort', () => socket.destroy());
  await untilAnswered(options.unanswered, socket);
  const refusal = await screen(options, request, request.url ?? '');
  if (!refusal || socket.destroyed) return;
  end(refusal.status);
  endWith(socket, formatAnswer(refusal));
}

/** Whatever goes wrong there, the connection is not to stay. */
function orDestroy(logger: Logger, work: Promise<void>, socket: Socket): void {
  work.catch((err: unknown) => {
    logger.error({ err }, 'a connection could not be handed over');
    socket.destroy();
  });
}

/** A connection may come back to its server: it is one all the same. */
function observeConnections(server: Server, observer: Required<IngressObserver>): void {
  const seen = new WeakSet<Socket>();
  server.on('connection', (socket: Socket) => {
    if (seen.has(socket)) return;
    seen.add(socket);
    observer.connected(socket);
  });
}

function send(reply: FastifyReply, { status, phrase, headers, body }: Answer): FastifyReply {
  reply.raw.statusMessage = phrase;
  return reply.code(status).headers(headers).send(body);
}
