import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { endWith } from '../http/last-answer.ts';
import { limitPipelining } from '../http/pipeline.ts';
import type { Via } from '../log/decision-log.ts';
import type { Logger } from '../log/logger.ts';
import { peerAddress } from '../net/client-list.ts';
import { TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { type ConnectOptions, handleConnect } from './connect.ts';
import { type EgressCrowd, limitConnections } from './crowd.ts';
import { readForward } from './forward.ts';
import { handleRequest } from './request.ts';
import { readTransparent, refuseConnect } from './transparent-http.ts';

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
  // Node shows no more than 1000 fields otherwise, while its parser heeds those behind them too.
  server.maxHeadersCount = 0;
  limitConnections(server, options, via);

  // Whatever is wrong here is our own fault: the client loses its connection, and gets nowhere.
  const orDestroy = (work: Promise<void>, socket: Socket) => {
    work.catch((err: unknown) => {
      options.logger.error({ err }, 'an egress request failed');
      socket.destroy();
    });
  };
  const answering = new WeakMap<Socket, ServerResponse>();
  const forward = (expectsContinue: boolean) => {
    return limitPipelining((request: IncomingMessage, response: ServerResponse) => {
      // What is still read behind the last answer is thrown away, not done.
      if (request.socket.writableEnded) return;
      answering.set(request.socket, response);
      const { socket } = request;
      orDestroy(
        handleRequest(admissions, requestOptions, request, response, expectsContinue),
        socket,
      );
    });
  };
  server.on('request', forward(false));
  server.on('checkContinue', forward(true));
  server.on('checkExpectation', forward(false));
  server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const work = transparent
      ? refuseConnect(admissions, request, socket)
      : handleConnect(admissions, options, request, socket, head);
    orDestroy(work, socket);
  });
  const unreadable = new WeakSet<Socket>();
  server.on('clientError', (error: ParserError, socket: Socket) => {
    // The rest of what cannot be read is no new request.
    if (unreadable.has(socket)) return;
    unreadable.add(socket);
    // Later, since what stands before it may be about to get its answer.
    setImmediate(() => {
      const answer = answering.get(socket);
      // Within another answer this one would be taken for a part of it.
      if (answer && !answer.writableFinished) endUnanswered(socket);
      else orDestroy(refuseUnreadable(admissions, via, error, socket), socket);
    });
  });
  return server;
}

function endUnanswered(socket: Socket): void {
  if (!socket.writableEnded) socket.destroy();
}

type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** What Node's parser refuses is a malformed target like any other: an answer, and a line in the log. */
async function refuseUnreadable(
  admissions: Admissions,
  listener: Via,
  error: ParserError,
  socket: Socket,
): Promise<void> {
  socket.on('error', () => undefined);
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
  if (!admission.admitted) endWith(socket, formatAnswer(admission.answer));
}
