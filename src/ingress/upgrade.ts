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
import { ForeignRedirectError, failureAnswer } from './failure.ts';
import { requestHeaders, responseHeaders } from './headers.ts';
import { findForeignRedirect } from './redirect.ts';
import { logIngress, type ScreenOptions, screen } from './screen.ts';
import type { UpstreamConnector } from './upstream.ts';

export interface UpgradeOptions extends ScreenOptions {
  upstream: UpstreamConnector;
}

interface Handshake {
  answer: IncomingMessage;
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
  asOrdinary: (request: IncomingMessage, response: ServerResponse) => void,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => undefined);
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
    passOver(asOrdinary, request, client);
    return;
  }
  const refusal = await screen(options, request, request.url ?? '');
  if (refusal) {
    endWith(client, formatAnswer(refusal));
    return;
  }
  try {
    const { answer, socket, head: upstreamHead } = await shakeHands(options, request, client);
    const foreign = findForeignRedirect(answer.rawHeaders, request.headers.host);
    if (foreign !== null) {
      answer.destroy();
      socket?.destroy();
      throw new ForeignRedirectError(foreign);
    }
    if (socket === null) {
      passAnswer(answer, request, client);
      return;
    }
    client.write(formatSwitch(answer), 'latin1');
    if (upstreamHead.length > 0) client.write(upstreamHead);
    if (head.length > 0) socket.write(head);
    await splice(client, socket, 0);
  } catch (error) {
    if (error instanceof ForeignRedirectError) {
      logIngress(options.log, request, 'foreign_redirect', error.message);
    }
    endWith(client, formatAnswer(failureAnswer(error, String(options.upstream))));
  }
}

async function shakeHands(
  { upstream, pseudonym }: UpgradeOptions,
  request: IncomingMessage,
  client: Socket,
): Promise<Handshake> {
  const socket = await upstream.connect();
  return new Promise((resolve, reject) => {
    const address = peerAddress(client.remoteAddress);
    const outgoing = httpRequest({
      method: request.method,
      path: request.url,
      headers: [
        ...requestHeaders(request, address, pseudonym),
        'Connection',
        'Upgrade',
        'Upgrade',
        'websocket',
      ] as never,
      createConnection: () => socket,
      agent: false,
    });
    const gone = () => outgoing.destroy();
    client.once('close', gone);
    outgoing.once('error', reject);
    outgoing.once('upgrade', (answer, upgraded, head) => {
      client.removeListener('close', gone);
      resolve({ answer, socket: upgraded as Socket, head });
    });
    outgoing.once('response', (answer) => resolve({ answer, socket: null, head: Buffer.alloc(0) }));
    outgoing.end();
  });
}

function formatSwitch({ rawHeaders, statusMessage }: IncomingMessage): string {
  const fields: RawHeaders = [
    'Connection',
    'Upgrade',
    'Upgrade',
    values(rawHeaders, 'upgrade')[0] ?? 'websocket',
    ...responseHeaders(rawHeaders),
  ];
  const lines = pairs(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 ${statusMessage || STATUS_CODES[101]}\r\n${lines.join('')}\r\n`;
}

/** Whisper answered the handshake with something other than 101. */
function passAnswer(answer: IncomingMessage, request: IncomingMessage, client: Socket): void {
  const response = lastResponse(request, client);
  response.writeHead(answer.statusCode ?? 502, responseHeaders(answer.rawHeaders));
  answer.on('error', () => client.destroy());
  answer.pipe(response);
}

/** A server may pass over an Upgrade that it does not know (RFC 9110, section 7.8); h2c is the usual one. */
function passOver(
  asOrdinary: (request: IncomingMessage, response: ServerResponse) => void,
  request: IncomingMessage,
  client: Socket,
): void {
  if (hasBody(request.rawHeaders)) {
    const sentence = 'no upgrade but to websocket: send the request without its Upgrade field.';
    const answer = createAnswer({
      status: 400,
      type: 'http_request_error',
      reason: null,
      sentence,
    });
    endWith(client, formatAnswer(answer));
    return;
  }
  asOrdinary(request, lastResponse(request, client));
}

function lastResponse(request: IncomingMessage, client: Socket): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(client);
  response.once('finish', () => client.end());
  client.once('close', () => response.destroy());
  return response;
}
