import { STATUS_CODES } from 'node:http';
import { printable } from '../log/printable.ts';
import type { Reason } from '../policy/decide.ts';

/** Bytes; what is longer may not fit on a line of a log. */
const LONGEST_PHRASE = 120;

/** What a client gets from the proxy itself. */
export interface Answer {
  status: number;
  /** The reason phrase (RFC 9112, section 4): many clients show it, and nothing else of the answer. */
  phrase: string;
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
  /** The same in a few words, for the reason phrase; without it, the first of its sentences. */
  short?: string;
  /** Seconds. */
  retryAfter?: number;
}

/** An answer as text, with `Proxy-Status` (RFC 9209) and the reason in fields of their own. */
export function createAnswer({
  status,
  type,
  reason,
  sentence,
  short,
  retryAfter,
}: AnswerParts): Answer {
  const details = reason === null ? '' : `; details="${reason}"`;
  return {
    status,
    phrase: reasonPhrase(status, short ?? sentence.replace(/\.(?: .*)?$/s, '')),
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
export function formatAnswer({ status, phrase, headers, body }: Answer, method?: string): string {
  const fields = {
    ...headers,
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${phrase}\r\n${lines.join('')}\r\n${method === 'HEAD' ? '' : body}`;
}

function reasonPhrase(status: number, short: string): string {
  const usual = STATUS_CODES[status] ?? '';
  const [start, end] = [`${usual} (whisper-proxy: `, ')'];
  const room = LONGEST_PHRASE - start.length - end.length;
  const text = printable(short);
  return `${start}${text.length > room ? `${text.slice(0, room - 3)}...` : text}${end}`;
}
