import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { endWith, MAX_OF_STRANGER } from '../http/last-answer.ts';
import { SHOWN_FIELDS } from '../http/limits.ts';
import { limitPipelining, type Unanswered } from '../http/pipeline.ts';
import type { Via } from '../log/decision-log.ts';
import type { Logger } from '../log/logger.ts';
import { peerAddress } from '../net/client-list.ts';
import { TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { type ConnectOptions, handleConnect, refuseConnect } from './connect.ts';
import { type EgressCrowd, limitConnections, unheard } from './crowd.ts';
import { readForward } from './forward.ts';
import { handleRequest } from './request.ts';
import { readTransparent } from './transparent-http.ts';

// A host name has 253 characters, but whoever tries a target of 60 KB is to be found in the log.
const MAX_HEADER_BYTES = 65_536;
const HEADERS_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 1_000;

/** What an egress listener for HTTP needs beside the admissions that all of them share. */
export interface EgressServerOptions extends ConnectOptions, EgressCrowd {
  /** For programs that know of no proxy: requests in origin-form, and no tunnels. */
  transparent: boolean;
  /** This proxy's name in Via. */
  pseudonym: string;
  logger: Logger;
}

/** A forward proxy (CONNECT tunnels and absolute-form HTTP) or a transparent one, not listening yet. */
export function createEgressServer(admissions: Admissions, options: EgressServerOptions): Server {
  const { transparent, idleTimeout, pseudonym } = options;
  const via = transparent ? 'transparent_http' : 'http';
  const read = transparent ? readTransparent : readForward;
  const requestOptions = { via, read, idleTimeout, pseudonym } as const;
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    // An upload may take as long as it likes: the idle time-out bounds it.
    requestTimeout: 0,
    requireHostHeader: false,
    keepAlive: true,
    noDelay: true,
  });
  server.on('connection', (socket: Socket) => {
    // Asked for now, since the address of a peer that has reset the connection is not known any more,
    // and whoever does that is to be found in the log.
    if (socket.remoteAddress === undefined) socket.destroy();
    // Each of any number of pipelined requests waits for its client to go away.
    socket.setMaxListeners(0);
  });
  server.maxHeadersCount = SHOWN_FIELDS;
  limitConnections(server, options, via, (socket, check) => {
    const client = peerAddress(socket.remoteAddress);
    const answer = admissions.refuseClient(via, client, check);
    endWith(socket, formatAnswer(answer), MAX_OF_STRANGER);
  });

  // Whatever is wrong here is our own fault: the client loses its connection, and gets nowhere.
  const orDestroy = (work: Promise<void>, socket: Socket) => {
    work.catch((err: unknown) => {
      options.logger.error({ err }, 'an egress request failed');
      socket.destroy();
    });
  };
  const answering = new WeakMap<Socket, ServerResponse>();
  /** What is still read behind the last request of a connection is thrown away, not done. */
  const last = new WeakSet<Socket>();
  const onDrop = ([request]: readonly IncomingMessage[]) => {
    const client = peerAddress(request?.socket.remoteAddress);
    options.log.decide(unheard('too_many_connections', via, client));
  };
  const unanswered: Unanswered = new WeakMap();
  const forward = (expectsContinue: boolean) => {
    return limitPipelining(
      (request: IncomingMessage, response: ServerResponse) => {
        const { socket } = request;
        if (socket.writableEnded || last.has(socket)) return;
        answering.set(socket, response);
        // No upgrade is known here, so it is ignored (RFC 9110, section 7.8). But Node's parser drops what
        // came together with such a request, so there can be no next one.
        if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false;
        const work = handleRequest(admissions, requestOptions, request, response, expectsContinue);
        if (!response.shouldKeepAlive) {
          last.add(socket);
          response.once('finish', () => {
            if (!socket.writableEnded) endWith(socket, '');
          });
        }
        orDestroy(work, socket);
      },
      unanswered,
      onDrop,
    );
  };
  server.on('request', forward(false));
  server.on('checkContinue', forward(true));
  server.on('checkExpectation', forward(false));
  server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (socket.writableEnded) {
      socket.on('error', () => undefined);
      return;
    }
    const answer = answering.get(socket);
    // The answers come in the order of the requests (RFC 9112, section 9.3.2), and this one would end
    // what the connection is for.
    const isBehind = answer !== undefined && !answer.writableFinished;
    const refuse = (why: string) =>
      refuseConnect(admissions, transparent ? via : 'connect', request, socket, why, !isBehind);
    if (isBehind) orDestroy(refuse('CONNECT came before the answer to another request'), socket);
    else if (transparent) orDestroy(refuse('CONNECT is taken on EGRESS_LISTEN alone'), socket);
    else orDestroy(handleConnect(admissions, options, request, socket, head), socket);
  });
  const unreadable = new WeakSet<Socket>();
  server.on('clientError', (error: ParserError, socket: Socket) => {
    // The rest of what cannot be read is no new request.
    if (unreadable.has(socket)) return;
    // Behind a request that was to be the last (RFC 9112, section 9.6): its answer stands.
    if (error.code === 'HPE_CLOSED_CONNECTION') return;
    unreadable.add(socket);
    // Later, since what stands before it may be about to get its answer.
    setImmediate(() => {
      const answer = answering.get(socket);
      // Within another answer this one would be taken for a part of it.
      const answers = !answer || answer.writableFinished;
      orDestroy(refuseUnreadable(admissions, via, error, socket, answers), socket);
    });
  });
  return server;
}

type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/**
 * What Node's parser refuses is a malformed target like any other: an answer, and a line in the log.
 * @param answers whether it may be said here: within another answer it would be taken for a part of that.
 */
async function refuseUnreadable(
  admissions: Admissions,
  listener: Via,
  error: ParserError,
  socket: Socket,
  answers: boolean,
): Promise<void> {
  socket.on('error', () => undefined);
  if (!answers && socket.writableEnded) return;
  const nothingSent = error.rawPacket === undefined || error.rawPacket.length === 0;
  if (error.code === 'ECONNRESET' || !socket.writable || nothingSent) {
    socket.destroy();
    return;
  }
  const start = error.rawPacket?.toString('latin1', 0, 400) ?? '';
  const [, method = null, text = start] =
    /^([A-Z]{1,20}) ([^\r\n]*?)(?: HTTP\/[\d.]*)?(?:\r|\n|$)/.exec(start) ?? [];
  const admission = await admissions.admit({
    via: listener === 'http' && method === 'CONNECT' ? 'connect' : listener,
    method,
    text,
    parse: () => {
      throw new TargetError('the request cannot be read as HTTP');
    },
    client: peerAddress(socket.remoteAddress),
    onGone: () => () => undefined,
  });
  if (admission.admitted) return;
  if (answers) endWith(socket, formatAnswer(admission.answer));
  else socket.destroy();
}
