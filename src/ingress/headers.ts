import type { IncomingMessage } from 'node:http';
import { transferCoding } from '../http/framing.ts';
import { endToEnd, isForwarded, pairs, type RawHeaders, values } from '../http/headers.ts';
import { countForward } from '../http/max-forwards.ts';
import { isHarmless } from './answer-fields.ts';
import type { Origin } from './redirect.ts';

/** What a request of HTTP/1.0 may leave out, and one of HTTP/1.1 has to have (RFC 9112, section 3.2). */
const NO_HOST = 'whisper';
/** Without a framing field these have no body; the others would say so (RFC 9110, section 8.6). */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

/** Rebuilt here, whatever Connection names: whisper is to know the host, and the body is framed anew. */
const REBUILT = new Set(['host', 'content-length']);

/** What a client that is trusted may say of the request that it got itself. */
const TRUSTED = ['x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-prefix'];

/** Who a request came from. */
export interface Sender {
  /** The client's address, or null on a unix socket. */
  address: string | null;
  /** Whether its X-Forwarded-* fields are passed on. */
  isTrusted: boolean;
}

/**
 * The request's fields as whisper gets them: Host as the client sent it, since whisper builds the
 * addresses that it tells its clients from it. Those that frame a body are not among them.
 * @param pseudonym this proxy's name in Via.
 */
export function requestHeaders(
  request: IncomingMessage,
  { address, isTrusted }: Sender,
  pseudonym: string,
): RawHeaders {
  const { rawHeaders } = request;
  const passing = endToEnd(countForward(request.method, rawHeaders), REBUILT);
  const kept = isTrusted ? TRUSTED.filter((name) => values(passing, name).length > 0) : [];
  // Set afresh: whisper must be able to believe them, and to build its links from them.
  const fields = pairs(passing).filter(([name]) => {
    return !isForwarded(name) || kept.includes(name.toLowerCase());
  });
  const host = values(rawHeaders, 'host')[0];
  const before = isTrusted ? values(rawHeaders, 'x-forwarded-for') : [];
  const path = [...before, ...(address === null ? [] : [address])].join(', ');
  return [
    ...['Host', host ?? NO_HOST],
    ...fields.flat(),
    ...(path === '' ? [] : ['X-Forwarded-For', path]),
    ...(host === undefined || kept.includes('x-forwarded-host') ? [] : ['X-Forwarded-Host', host]),
    ...(kept.includes('x-forwarded-proto') ? [] : ['X-Forwarded-Proto', 'http']),
    'Via',
    `1.1 ${pseudonym}`,
  ];
}

/**
 * The origins that a client may be sent to by whisper's answer: the one that it asked, and, where it
 * is trusted to say so, the one that its own client asked.
 */
export function ownOrigins({ rawHeaders, headers }: IncomingMessage, isTrusted: boolean): Origin[] {
  const asked = { scheme: 'http', host: headers.host };
  if (!isTrusted) return [asked];
  const [scheme = 'http'] = values(rawHeaders, 'x-forwarded-proto');
  const [host = headers.host] = values(rawHeaders, 'x-forwarded-host');
  return [asked, { scheme, host }];
}

/** The fields that frame a request's body on its way to whisper, as it was framed by the client. */
export function framing({ rawHeaders, method = '' }: IncomingMessage): RawHeaders {
  if (transferCoding(rawHeaders) !== 'none') return ['Transfer-Encoding', 'chunked'];
  const length = values(rawHeaders, 'content-length')[0];
  if (length !== undefined) return ['Content-Length', length.replace(/^0+(?=\d)/, '')];
  return BODILESS.has(method) ? [] : ['Content-Length', '0'];
}

/** The fields of whisper's answer that reach the client. */
export function responseHeaders(headers: RawHeaders): RawHeaders {
  return pairs(endToEnd(headers)).flatMap(([name, value]) =>
    isHarmless(name.toLowerCase(), value) ? [name, value] : [],
  );
}

/**
 * The raw shape as an object; fields that occur more than once have an array. Names are in lower case.
 */
export function toObject(headers: RawHeaders): Record<string, string | string[]> {
  const fields = new Map<string, string[]>();
  for (const [name, value] of pairs(headers)) {
    const lower = name.toLowerCase();
    const before = fields.get(lower);
    if (before) before.push(value);
    else fields.set(lower, [value]);
  }
  return Object.fromEntries(
    [...fields].map(([name, all]) => [name, all.length === 1 ? (all[0] ?? '') : all]),
  );
}

/** Whether a request has passed through the proxy of that name already (RFC 9110, section 7.6.3). */
export function hasPassed(request: IncomingMessage, pseudonym: string): boolean {
  const hops = values(request.rawHeaders, 'via').join(',').split(',');
  return hops.some((hop) => hop.trim().split(/\s+/)[1] === pseudonym);
}
