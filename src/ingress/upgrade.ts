import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatAnswer } from '../http/answer.ts';
import { hasBody, pairs, type RawHeaders, values } from '../http/headers.ts';
import { endWith } from '../http/last-answer.ts';
import { hasUnanswered, type Unanswered, untilAnswered } from '../http/pipeline.ts';
import { type ClientList, peerAddress } from '../net/client-list.ts';
import { splice } from '../net/splice.ts';
import { ForeignRedirectError, screenAnswer, UnfitAnswerError } from './answer.ts';
import { askWhisper } from './ask.ts';
import { EarlyBytes } from './early-bytes.ts';
import { classifyFailure, failureAnswer } from './failure.ts';
import { ownOrigins, requestHeaders } from './headers.ts';
import type { HoldingConnector } from './hold.ts';
import { beginRequest, type EndRequest, noteFailure } from './observer.ts';
import { dropEarly, logIngress, type ScreenOptions, screen } from './screen.ts';

export interface UpgradeOptions extends ScreenOptions {
  upstream: HoldingConnector;
  /** Whose X-Forwarded-* fields are passed on. */
  trusted: ClientList;
  unanswered: Unanswered;
}

interface Handshake {
  answer: IncomingMessage;
  /** The fields of the answer that reach the client. */
  headers: RawHeaders;
  /** null: whisper did not switch protocols. */
  socket: Socket | null;
  head: Buffer;
}

const ignoreError = () => undefined;

/**
 * A request with an Upgrade, after which Node's parser leaves the connection alone. A WebSocket
 * (RFC 6455) gets whisper's own answer to the handshake, then bytes go both ways. Any other Upgrade
 * is ignored (RFC 9110, section 7.8): the connection goes back to the server without it.
 *
 *     session-manager ─┬ Upgrade: websocket ─▶ screen ─▶ whisper ─┬ 101 ───▶ bytes ◀═▶ whisper
 *                      └ another ─▶ server                        └ other ─▶ as it is
 *
 * @param server where the request came from.
 * @param head what has been read from the connection behind the header.
 */
export async function handleUpgrade(
  options: UpgradeOptions,
  server: Server,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', ignoreError);
  if (isHandshake(request)) await handleWebSocket(options, request, client, head);
  else await giveBack(options.unanswered, server, request, client, head);
}

/** A request that is nothing but the opening handshake of a WebSocket (RFC 6455, section 4.1). */
function isHandshake({ method, httpVersion, rawHeaders }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    protocols(rawHeaders) === 'websocket' &&
    !hasBody(rawHeaders)
  );
}

/** What the Upgrade fields of a message name, in lower case. */
function protocols(headers: RawHeaders): string {
  return values(headers, 'upgrade').join().trim().toLowerCase();
}

async function giveBack(
  unanswered: Unanswered,
  server: Server,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  let rest = head;
  // One request of a connection a turn, however many it sends at once: others have theirs in between.
  await nextTurn();
  if (client.destroyed) return;
  if (hasUnanswered(unanswered, client)) {
    const early = new EarlyBytes(client, head, () => client.pause());
    early.gone.addEventListener('abort', () => client.destroy());
    await untilAnswered(unanswered, client);
    if (early.gone.aborted || !client.writable) return;
    rest = early.take();
  }
  // What the parser before has left behind; there would be more of it with every request.
  client.removeAllListeners('pause').removeAllListeners('resume');
  client.removeListener('error', ignoreError);
  // The time-out between two requests, if there was one before.
  client.setTimeout(0);
  // Not joined: what waits behind it would be copied with every request.
  if (rest.length > 0) client.unshift(rest);
  client.unshift(Buffer.from(formatWithoutUpgrade(request), 'latin1'));
  server.emit('connection', client);
  client.resume();
}

/** The header as it was read, without what made Node's parser take it for an upgrade. */
function formatWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = pairs(rawHeaders).flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    if (lower === 'upgrade') return [];
    if (lower !== 'connection') return [`${name}: ${value}\r\n`];
    const options = value.split(',').filter((option) => option.trim().toLowerCase() !== 'upgrade');
    return options.length === 0 ? [] : [`${name}:${options.join()}\r\n`];
  });
  return `${method} ${url} HTTP/${httpVersion}\r\n${lines.join('')}\r\n`;
}

async function handleWebSocket(
  options: UpgradeOptions,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  const end = beginRequest(options.observer, request, client);
  // Before the answer to its handshake a client has nothing to send (RFC 6455, section 4.1).
  const early = new EarlyBytes(client, head, () => dropEarly(options, request, client));
  early.gone.addEventListener('abort', () => client.destroy());
  await untilAnswered(options.unanswered, client);
  const refusal = await screen(options, request, request.url ?? '');
  if (early.gone.aborted || !client.writable) return;
  if (refusal) {
    end(refusal.status);
    endWith(client, formatAnswer(refusal));
    return;
  }
  try {
    await relay(options, request, client, early, end);
  } catch (error) {
    if (error instanceof ForeignRedirectError) {
      logIngress(options.log, request, 'foreign_redirect', error.message);
    } else noteFailure(request, classifyFailure(error));
    const failure = failureAnswer(error, String(options.upstream));
    if (early.gone.aborted) return;
    end(failure.status);
    endWith(client, formatAnswer(failure));
  }
}

async function relay(
  options: UpgradeOptions,
  request: IncomingMessage,
  client: Socket,
  early: EarlyBytes,
  end: EndRequest,
): Promise<void> {
  const { answer, headers, socket, head } = await shakeHands(options, request, early.gone);
  if (socket === null) {
    const response = lastResponse(request, client, end);
    response.writeHead(answer.statusCode ?? 502, headers);
    answer.on('error', () => client.destroy()).pipe(response);
    return;
  }
  client.write(formatSwitch(answer, headers), 'latin1');
  client.unshift(early.take());
  socket.unshift(head);
  end(101);
  options.observer.webSocketBegan();
  await splice(client, socket, { idleTimeout: 0 });
  options.observer.webSocketEnded();
}

/** @param gone ends it. */
async function shakeHands(
  { upstream, trusted, pseudonym }: UpgradeOptions,
  request: IncomingMessage,
  gone: AbortSignal,
): Promise<Handshake> {
  const address = peerAddress(request.socket.remoteAddress);
  const isTrusted = await trusted.allows(address);
  const connection = await upstream.connect(gone);
  return new Promise((resolve, reject) => {
    const outgoing = askWhisper(connection, {
      method: request.method,
      target: request.url,
      headers: [
        ...requestHeaders(request, { address, isTrusted }, pseudonym),
        ...['Connection', 'Upgrade', 'Upgrade', 'websocket'],
      ],
    });
    const cancel = () => {
      outgoing.destroy();
      connection.destroy();
    };
    const settle = (answer: IncomingMessage, socket: Socket | null, head: Buffer) => {
      try {
        const isSwitch = answer.statusCode === 101;
        if (isSwitch && (socket === null || protocols(answer.rawHeaders) !== 'websocket')) {
          throw new UnfitAnswerError('does not change to the protocol that it was asked for');
        }
        const headers = screenAnswer(answer, ownOrigins(request, isTrusted));
        resolve({ answer, headers, socket, head });
      } catch (error) {
        connection.destroy();
        reject(error);
      }
    };
    outgoing.on('error', reject);
    outgoing.once('upgrade', (answer, socket, head) => {
      gone.removeEventListener('abort', cancel);
      settle(answer, socket, head);
    });
    outgoing.once('response', (answer) => settle(answer, null, Buffer.alloc(0)));
    if (gone.aborted) cancel();
    else gone.addEventListener('abort', cancel);
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
  return response;
}
