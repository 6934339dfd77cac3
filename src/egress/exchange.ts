import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { isTakenVersion, transferCoding } from '../http/framing.ts';
import { endToEnd, hasBody, pairs, type RawHeaders } from '../http/headers.ts';
import { discardBody } from '../http/last-answer.ts';
import { countForward } from '../http/max-forwards.ts';
import { UploadMeter } from '../net/upload-meter.ts';
import { formatHostPort } from '../policy/host.ts';
import type { Target } from '../policy/target.ts';

/** Where a request goes, and how it is named and timed on its way. */
export interface ExchangeOptions {
  target: Target;
  /** The origin-form of what was asked for. */
  path: string;
  /** A fresh connection to the target; the caller closes it. */
  socket: Socket;
  /** Milliseconds without a byte. */
  idleTimeout: number;
  /** This proxy's name in Via. */
  pseudonym: string;
  /** Bytes that the client may send, header included; null: any number. */
  maxUpload: number | null;
  /** The client waits for a 100 before it sends the body. */
  expectsContinue: boolean;
  /** Takes what is to be called when the rules deny it by now. */
  onCut: (callback: () => void) => void;
}

/** An exchange that did not come to its end; `code` is the system's, the parser's, or our own. */
export class ExchangeError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`the exchange failed: ${code}`);
    this.code = code;
  }
}

/** Informational answers before the final one; each would begin the idle time-out anew. */
const MAX_INFORMATIONAL = 32;
/** What the chunked coding puts around the bytes of a chunk, at most (RFC 9112, section 7.1). */
const CHUNK_FRAME = 12;
const HTTP_DEFAULT_PORT = 80;
/** Rebuilt here: the target decides about the host, the message as it was read about its framing. */
const REBUILT = new Set(['host', 'content-length']);
const LENGTH = new Set(['content-length']);
/** An answer with this status has no length (RFC 9110, section 8.6). */
const NO_CONTENT = 204;
/** Without a framing field these have no body; the others would say so (RFC 9110, section 8.6). */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

/**
 * Sends a request on a connection and passes the answer back. Not undici: on a connection that the
 * target has broken it takes a part of an answer for the whole.
 * @returns once the client has the whole answer.
 * @throws ExchangeError; if the answer had begun by then, the client must not take it for whole.
 */
export function exchange(
  options: ExchangeOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const client = request.socket;
  const headers = requestHeaders(request, options);
  const meter = new UploadMeter(options.maxUpload);
  // Before anything is sent, where the request says how much it is going to be.
  const announced = Number(request.headers['content-length'] ?? 0);
  if (!meter.take(headLength(request, options, headers) + announced)) {
    return Promise.reject(new ExchangeError('upload_limit'));
  }
  if (options.expectsContinue) response.writeContinue();
  return new Promise<void>((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => options.socket,
      method: request.method,
      path: options.path,
      headers: headers as never,
    });
    outgoing.maxHeadersCount = 0;
    let answer: IncomingMessage | undefined;
    let informational = 0;
    const settle = () => {
      client.removeListener('close', gone);
      request.unpipe(outgoing);
      answer?.unpipe(response);
    };
    // At once: an answer that was cut off would otherwise still get its proper end.
    const fail = (error: unknown) => {
      settle();
      outgoing.destroy();
      reject(new ExchangeError(codeOf(error)));
    };
    const gone = () => fail({ code: 'ECANCELED' });
    options.onCut(() => fail({ code: 'revoked' }));
    // What comes behind a whole answer, and whatever becomes of the connection then, changes nothing
    // about it (RFC 9112, section 6.3).
    const broken = (error: unknown) => {
      if (!answer?.complete) fail(error);
    };

    if (client.destroyed) gone();
    else client.once('close', gone);
    const idle = () => fail({ code: 'idle_timeout' });
    response.setTimeout(options.idleTimeout, idle);
    // An answer that has to queue behind others has no socket to time yet.
    options.socket.setTimeout(options.idleTimeout, idle);
    response.once('finish', () => {
      settle();
      discardBody(request);
      resolve();
    });
    outgoing.on('error', broken);
    // Discarded (RFC 9110, section 15.2): this proxy has told the client to go on itself.
    outgoing.on('information', () => {
      informational += 1;
      if (informational > MAX_INFORMATIONAL) fail({ code: 'too_many_informational' });
    });
    outgoing.once('upgrade', () => fail({ code: 'HPE_UNEXPECTED_UPGRADE' }));
    outgoing.once('response', (incoming) => {
      answer = incoming;
      incoming.on('error', broken);
      try {
        passHead(incoming, request, response, options.pseudonym);
        incoming.pipe(response);
      } catch (error) {
        fail(error);
      }
    });
    // A body goes only behind a field that frames it: else it would be read as the next request.
    if (framing(request).length === 0) outgoing.end();
    else {
      if (announced === 0) {
        request.on('data', (bytes: Buffer) => {
          if (!meter.take(bytes.length + CHUNK_FRAME)) fail({ code: 'upload_limit' });
        });
      }
      request.pipe(outgoing);
    }
  });
}

function passHead(
  answer: IncomingMessage,
  request: IncomingMessage,
  response: ServerResponse,
  pseudonym: string,
): void {
  checkAnswer(answer);
  // Closing on the rest of an upload would reset the connection, and the answer would be lost.
  if (!request.complete && hasBody(request.rawHeaders)) response.shouldKeepAlive = true;
  response.writeHead(answer.statusCode ?? 0, [
    ...endToEnd(answer.rawHeaders, answer.statusCode === NO_CONTENT ? LENGTH : undefined),
    'Via',
    `1.1 ${pseudonym}`,
  ]);
  // Server-sent events: the client waits for the header, the first event may take its time. Not
  // flushHeaders, which would encode the header as UTF-8, though it was read as Latin-1.
  response.write('', 'latin1');
}

/** @throws ExchangeError for an answer that must not be passed on. */
function checkAnswer({ statusCode = 0, httpVersion, rawHeaders }: IncomingMessage): void {
  // 101: no upgrade was asked for (RFC 9110, section 15.2.2). The others are not final.
  if (statusCode < 200) throw new ExchangeError('HPE_UNEXPECTED_UPGRADE');
  if (!isTakenVersion(httpVersion)) throw new ExchangeError('HPE_INVALID_VERSION');
  const coding = transferCoding(rawHeaders);
  // RFC 9112, section 6.1: HTTP/1.0 has none.
  if (coding === 'other' || (coding === 'chunked' && httpVersion === '1.0')) {
    throw new ExchangeError('HPE_INVALID_TRANSFER_ENCODING');
  }
}

function requestHeaders(
  request: IncomingMessage,
  { target, pseudonym }: ExchangeOptions,
): RawHeaders {
  return [
    'Host',
    hostField(target),
    ...endToEnd(countForward(request.method, request.rawHeaders), REBUILT),
    ...framing(request),
    'Via',
    `${request.httpVersion} ${pseudonym}`,
  ];
}

/** Bytes of the request's header as it leaves, or a few more: Node adds a Connection field. */
function headLength(
  { method = '' }: IncomingMessage,
  { path }: ExchangeOptions,
  headers: RawHeaders,
): number {
  const line = `${method} ${path} HTTP/1.1\r\nConnection: keep-alive\r\n\r\n`;
  const fields = pairs(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return line.length + fields.join('').length;
}

function hostField({ host, port }: Target): string {
  const field = formatHostPort(host, port);
  return port === HTTP_DEFAULT_PORT ? field.slice(0, -`:${port}`.length) : field;
}

function framing(request: IncomingMessage): RawHeaders {
  const { 'transfer-encoding': coding, 'content-length': length } = request.headers;
  if (coding !== undefined) return ['Transfer-Encoding', 'chunked'];
  if (length !== undefined) return ['Content-Length', length];
  return BODILESS.has(request.method ?? '') ? [] : ['Content-Length', '0'];
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : 'UNKNOWN';
}
