import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { endToEnd, pairs, type RawHeaders, values } from '../http/headers.ts';

/** Set afresh: whisper must be able to believe them, and to build its links from them. */
const FORWARDED = /^(?:x[-_]forwarded[-_].*|forwarded|x[-_]real[-_]ip)$/i;

/**
 * Fields by which an answer would steer the client's later requests or reports to other places:
 * RFC 7838, RFC 6797, the Reporting API, Network Error Logging, RFC 8288.
 */
const STEERING = new Set([
  'alt-svc',
  'strict-transport-security',
  'nel',
  'report-to',
  'reporting-endpoints',
  'link',
]);

/**
 * The request's fields as whisper gets them: Host as the client sent it, since whisper builds the
 * addresses that it tells its clients from it.
 * @param client the client's address, or null on a unix socket.
 * @param pseudonym this proxy's name in Via.
 */
export function requestHeaders(
  request: IncomingMessage,
  client: string | null,
  pseudonym: string,
): RawHeaders {
  const { rawHeaders } = request;
  const drop = new Set(Object.keys(request.headers).filter((name) => FORWARDED.test(name)));
  const host = values(rawHeaders, 'host')[0];
  return [
    ...endToEnd(rawHeaders, drop),
    ...(client === null ? [] : ['X-Forwarded-For', client]),
    ...(host === undefined ? [] : ['X-Forwarded-Host', host]),
    'X-Forwarded-Proto',
    'http',
    'Via',
    `1.1 ${pseudonym}`,
  ];
}

/** The fields of whisper's answer that reach the client. */
export function responseHeaders(headers: RawHeaders): RawHeaders {
  return endToEnd(headers, STEERING);
}

/** Node's and undici's other shape of header fields, as the raw one. */
export function toRaw(headers: IncomingHttpHeaders): RawHeaders {
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((single) => [name, single]),
  );
}

/** The raw shape as an object; fields that occur more than once have an array. */
export function toObject(headers: RawHeaders): Record<string, string | string[]> {
  const fields = new Map<string, string | string[]>();
  for (const [name, value] of pairs(headers)) {
    const lower = name.toLowerCase();
    const before = fields.get(lower);
    fields.set(lower, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(fields);
}

/** Whether a request has passed through the proxy of that name already (RFC 9110, section 7.6.3). */
export function hasPassed(request: IncomingMessage, pseudonym: string): boolean {
  const hops = values(request.rawHeaders, 'via').join(',').split(',');
  return hops.some((hop) => hop.trim().split(/\s+/)[1] === pseudonym);
}
