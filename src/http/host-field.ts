import type { IncomingMessage } from 'node:http';
import { parseHost } from '../policy/host.ts';
import { values } from './headers.ts';

/** `uri-host [":" port]`; the port may be empty (RFC 3986, section 3.2.3). */
const HOST_FIELD = /^(\[[^\]]*\]|[^:[\]]*)(?::\d{0,5})?$/;

/**
 * What is wrong with the Host field of a request, as a server has to see it (RFC 9112, section 3.2):
 * HTTP/1.1 without one, more than one, or something else than a host with or without a port. The
 * server must not limit the number of fields (`maxHeadersCount = 0`), else one may be hidden.
 * @returns a sentence without its final dot for a 400 answer; null if nothing is wrong.
 */
export function hostFieldFault({
  httpVersion,
  rawHeaders,
}: Pick<IncomingMessage, 'httpVersion' | 'rawHeaders'>): string | null {
  const [host, ...others] = values(rawHeaders, 'host');
  if (host === undefined) return httpVersion === '1.1' ? 'the request has no Host field' : null;
  if (others.length > 0) return 'the request has more than one Host field';
  // Empty where the target has no authority (RFC 9110, section 7.2).
  if (host === '') return null;
  const [, name = ''] = HOST_FIELD.exec(host) ?? [];
  return parseHost(name) === null
    ? 'the Host field must be a host with or without a port, as in example.org:80'
    : null;
}
