import { STATUS_CODES } from 'node:http';
import type { Reason } from '../policy/decide.ts';

/** What a client gets from the proxy itself. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What an answer is made of. */
export interface AnswerParts {
  status: number;
  /** The proxy error type (RFC 9209, section 2.3). */
  type: string;
  reason: Reason | null;
  /** For people; without its final newline. */
  sentence: string;
  /** Seconds. */
  retryAfter?: number;
}

/** An answer as text, with `Proxy-Status` (RFC 9209) and the reason in fields of their own. */
export function createAnswer({ status, type, reason, sentence, retryAfter }: AnswerParts): Answer {
  const details = reason === null ? '' : `; details="${reason}"`;
  return {
    status,
    headers: {
      'Content-Type': 'text/plain; charset=utf-8',
      'Proxy-Status': `whisper-proxy; error=${type}${details}`,
      'Cache-Control': 'no-store',
      ...(reason === null ? {} : { 'X-Whisper-Proxy-Reason': reason }),
      ...(retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }),
    },
    body: `whisper-proxy: ${sentence}\n`,
  };
}

/**
 * The answer as bytes on a connection that ends with it.
 * @param method of the request: an answer to HEAD has no body.
 */
export function formatAnswer({ status, headers, body }: Answer, method?: string): string {
  const fields = {
    ...headers,
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${method === 'HEAD' ? '' : body}`;
}
