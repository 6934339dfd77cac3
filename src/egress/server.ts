import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { endWith } from '../http/last-answer.ts';
import { peerAddress } from '../net/client-list.ts';
import { TargetError } from '../policy/target.ts';
import { Admissions, type EgressOptions } from './admission.ts';
import { handleConnect } from './connect.ts';
import { handleForward } from './forward.ts';

// A host name has 253 characters, but whoever tries a target of 60 KB is to be found in the log.
const MAX_HEADER_BYTES = 65_536;
const HEADERS_TIMEOUT_MS = 10_000;
/** Connections beyond the limit that are still told so, before they are dropped unheard. */
const REFUSED_AT_ONCE = 64;

/**
 * The forward proxy, not listening yet: CONNECT tunnels and absolute-form HTTP.
 * @param pseudonym this proxy's name in Via.
 */
export function createEgressServer(options: EgressOptions, pseudonym: string): Server {
  const admissions = new Admissions(options);
  const forwardOptions = { idleTimeout: options.idleTimeout, pseudonym };
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // An upload may take as long as it likes: the idle time-out bounds it.
    requestTimeout: 0,
    requireHostHeader: false,
    keepAlive: true,
    noDelay: true,
  });
  server.maxConnections = options.maxConnections + REFUSED_AT_ONCE;

  // Whatever is wrong here is our own fault: the client loses its connection, and gets nowhere.
  const orDestroy = (work: Promise<void>, socket: Socket) => {
    work.catch((err: unknown) => {
      options.logger.error({ err }, 'an egress request failed');
      socket.destroy();
    });
  };
  const forward = (request: IncomingMessage, response: ServerResponse) => {
    orDestroy(handleForward(admissions, forwardOptions, request, response), request.socket);
  };
  server.on('request', forward);
  server.on('checkContinue', forward);
  server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    orDestroy(handleConnect(admissions, options.idleTimeout, request, socket, head), socket);
  });
  server.on('clientError', (error: ParserError, socket: Socket) => {
    orDestroy(refuseUnreadable(admissions, error, socket), socket);
  });
  server.on('drop', (data) => {
    const client = data?.remoteAddress;
    options.log.decide({
      event: 'egress',
      decision: 'deny',
      reason: 'too_many_connections',
      rule: null,
      via: 'http',
      method: null,
      host: null,
      port: null,
      address: null,
      client: peerAddress(client),
      id: '',
    });
  });
  return server;
}

type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** What Node's parser refuses is a malformed target like any other: an answer, and a line in the log. */
async function refuseUnreadable(
  admissions: Admissions,
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
  const [, method = null, text = ''] =
    /^([A-Z]{1,20}) ([^\r\n]*?)(?: HTTP\/[\d.]*)?(?:\r|\n|$)/.exec(start) ?? [];
  const admission = await admissions.admit({
    via: method === 'CONNECT' ? 'connect' : 'http',
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
