import {
  request as httpRequest,
  type IncomingMessage,
  ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import { createAnswer, formatAnswer } from '../http/answer.ts';
import { hasBody, pairs, type RawHeaders, values } from '../http/headers.ts';
import { endWith } from '../http/last-answer.ts';
import { peerAddress } from '../net/client-list.ts';
import { splice } from '../net/splice.ts';
import { ForeignRedirectError, screenAnswer } from './answer.ts';
import { failureAnswer } from './failure.ts';
import { requestHeaders } from './headers.ts';
import { beginRequest, type EndRequest } from './observer.ts';
import { logIngress, type ScreenOptions, screen } from './screen.ts';
import type { UpstreamConnector } from './upstream.ts';

export interface UpgradeOptions extends ScreenOptions {
  upstream: UpstreamConnector;
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

interface Handshake {
  answer: IncomingMessage;
  /** The fields of the answer that reach the client. */
  headers: RawHeaders;
  /** null: whisper did not switch protocols. */
  socket: Socket | null;
  head: Buffer;
}

/**
 * A WebSocket (RFC 6455): whisper's own answer to the handshake, then bytes both ways.
 *
 *     session-manager ── GET, Upgrade: websocket ─▶ screen ─▶ whisper ── 101 ─▶ bytes ◀═▶ whisper
 *                                                                └── other ──▶ as it is
 *
 * @param asOrdinary takes a request whose wish for another protocol is passed over.
 * @param head what came together with the request.
 */
export async function handleUpgrade(
  options: UpgradeOptions,
  asOrdinary: Listener,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => undefined);
  const end = beginRequest(options.observer, request, client);
  client.unshift(head);
  // Nobody reads from it yet, and who does not read does not see the other end go away.
  client.read(0);
  const refusal = (await screen(options, request, request.url ?? '')) ?? refuseBody(request);
  if (isGone(client)) client.destroy();
  else if (refusal) {
    end(refusal.status);
    endWith(client, formatAnswer(refusal));
  } else if (request.headers.upgrade?.toLowerCase() === 'websocket') {
    await relay(options, request, client, end);
  } else {
    // A server may pass over an Upgrade that it does not know (RFC 9110, section 7.8); h2c is the
    // usual one.
    asOrdinary(request, lastResponse(request, client, end));
  }
}

/** Node does not read the body of a request that asks for an upgrade. */
function refuseBody(request: IncomingMessage) {
  if (!hasBody(request.rawHeaders)) return null;
  return createAnswer({
    status: 400,
    type: 'http_request_error',
    reason: null,
    sentence: 'a request with a body cannot be upgraded: send it without its Upgrade field.',
  });
}

async function relay(
  options: UpgradeOptions,
  request: IncomingMessage,
  client: Socket,
  end: EndRequest,
): Promise<void> {
  try {
    const { answer, headers, socket, head } = await shakeHands(options, request, client);
    if (socket === null) {
      const response = lastResponse(request, client, end);
      response.writeHead(answer.statusCode ?? 502, headers);
      answer.on('error', () => client.destroy()).pipe(response);
      return;
    }
    client.write(formatSwitch(answer, headers), 'latin1');
    socket.unshift(head);
    end(101);
    options.observer.webSocketBegan();
    await splice(client, socket, { idleTimeout: 0 });
    options.observer.webSocketEnded();
  } catch (error) {
    if (error instanceof ForeignRedirectError) {
      logIngress(options.log, request, 'foreign_redirect', error.message);
    }
    const failure = failureAnswer(error, String(options.upstream));
    end(isGone(client) ? 'client_closed' : failure.status);
    endWith(client, formatAnswer(failure));
  }
}

async function shakeHands(
  { upstream, pseudonym }: UpgradeOptions,
  request: IncomingMessage,
  client: Socket,
): Promise<Handshake> {
  const address = peerAddress(client.remoteAddress);
  const connection = await upstream.connect();
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      method: request.method,
      path: request.url,
      headers: [
        ...requestHeaders(request, address, pseudonym),
        ...['Connection', 'Upgrade', 'Upgrade', 'websocket'],
      ],
      createConnection: () => connection,
    });
    outgoing.maxHeadersCount = 0;
    const gone = () => outgoing.destroy();
    const settle = (answer: IncomingMessage, socket: Socket | null, head: Buffer) => {
      try {
        const { statusCode = 0, rawHeaders } = answer;
        const headers = screenAnswer(statusCode, rawHeaders, request.headers.host);
        resolve({ answer, headers, socket, head });
      } catch (error) {
        connection.destroy();
        reject(error);
      }
    };
    outgoing.on('error', reject);
    outgoing.once('upgrade', (answer, socket, head) => {
      client.removeListener('close', gone).removeListener('end', gone);
      settle(answer, socket, head);
    });
    outgoing.once('response', (answer) => settle(answer, null, Buffer.alloc(0)));
    if (isGone(client)) gone();
    else client.once('close', gone).once('end', gone);
    outgoing.end();
  });
}

function formatSwitch({ rawHeaders, statusMessage }: IncomingMessage, headers: RawHeaders): string {
  const protocol = values(rawHeaders, 'upgrade')[0] ?? 'websocket';
  const fields = ['Connection', 'Upgrade', 'Upgrade', protocol, ...headers];
  const lines = pairs(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 ${statusMessage || STATUS_CODES[101]}\r\n${lines.join('')}\r\n`;
}

/** A response after which the connection ends, since its parser has been taken away. */
function lastResponse(request: IncomingMessage, client: Socket, end: EndRequest): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(client);
  response.once('finish', () => {
    end(response.statusCode);
    endWith(client, '');
  });
  client.once('close', () => response.destroy());
  client.once('end', () => client.destroy());
  return response;
}

function isGone(client: Socket): boolean {
  return client.destroyed || client.readableEnded;
}
