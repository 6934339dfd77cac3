import type { IncomingMessage, ServerResponse } from 'node:http';
import { Client } from 'undici';
import type { Answer } from '../http/answer.ts';
import { endToEnd, hasBody, type RawHeaders } from '../http/headers.ts';
import { discardBody } from '../http/last-answer.ts';
import { formatHostPort } from '../policy/host.ts';
import { parseHttpUri, type Target, TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { answerTo } from './answer.ts';
import { attemptOf } from './attempt.ts';

const REPLACED = new Set(['host']);

export interface ForwardOptions {
  /** Milliseconds. */
  idleTimeout: number;
  /** This proxy's name in Via. */
  pseudonym: string;
}

/**
 * A plain HTTP request in absolute-form (RFC 9112, section 3.2.2), one connection for each:
 *
 *     whisper ── GET http://host/path ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                          └────▶ 4xx, 5xx
 */
export async function handleForward(
  admissions: Admissions,
  options: ForwardOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const client = request.socket;
  const parse = () => readTarget(request).target;
  const admission = await admissions.admit(attemptOf('http', request, client, parse));
  if (!admission.admitted) {
    refuse(request, response, admission.answer);
    return;
  }
  const { target, socket, end } = admission;
  let error: string | undefined;
  const upstream = new Client(`http://${formatHostPort(target.host, target.port)}`, {
    // Later, not at once: undici would take the connection, but not see that it has it.
    connect: (_options, callback) => queueMicrotask(() => callback(null, socket)),
    headersTimeout: options.idleTimeout,
    bodyTimeout: options.idleTimeout,
  });
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  socket.once('close', () => end(error));
  try {
    if (/100-continue/i.test(request.headers.expect ?? '')) response.writeContinue();
    await exchange(upstream, options.pseudonym, request, response, target, gone.signal);
  } catch (caught) {
    error = codeOf(caught);
    if (response.headersSent) response.destroy();
    else refuse(request, response, failure(target, error));
  } finally {
    await upstream.destroy();
    socket.destroy();
  }
}

async function exchange(
  upstream: Client,
  pseudonym: string,
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
  signal: AbortSignal,
): Promise<void> {
  await upstream.stream(
    {
      method: request.method as 'GET',
      path: readTarget(request).path,
      headers: requestHeaders(request, target, pseudonym),
      body: hasBody(request.rawHeaders) ? request : null,
      reset: true,
      signal,
      responseHeaders: 'raw',
      opaque: response,
    },
    ({ statusCode, headers }) => {
      const fields = endToEnd(headers as unknown as RawHeaders);
      response.writeHead(statusCode, [...fields, 'Via', `1.1 ${pseudonym}`]);
      response.flushHeaders();
      return response;
    },
  );
}

function readTarget(request: IncomingMessage): { target: Target; path: string } {
  if (request.httpVersion === '1.1' && request.headers.host === undefined) {
    throw new TargetError('the request has no Host field');
  }
  return parseHttpUri(request.url ?? '');
}

function requestHeaders(request: IncomingMessage, target: Target, pseudonym: string): RawHeaders {
  const host = target.port === 80 ? formatHost(target) : formatHostPort(target.host, target.port);
  return ['Host', host, ...endToEnd(request.rawHeaders, REPLACED), 'Via', `1.1 ${pseudonym}`];
}

function formatHost({ host }: Target): string {
  return host.includes(':') ? `[${host}]` : host;
}

function refuse(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed) return;
  response.writeHead(answer.status, {
    ...answer.headers,
    'Content-Length': Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
  discardBody(request);
}

function failure(target: Target, code: string): Answer {
  return answerTo({ decision: 'deny', reason: 'connect_failed', rule: null }, target, code);
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'ETIMEDOUT';
  return code === 'UND_ERR_SOCKET' ? 'ECONNRESET' : code;
}
