import type { IncomingMessage } from 'node:http';
import { values } from '../http/headers.ts';
import { parseOriginForm } from '../policy/target.ts';
import type { HttpTarget } from './request.ts';

/**
 * A plain HTTP request of a program that knows of no proxy, and was sent here by the name server:
 *
 *     whisper ── GET /path, Host: host ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                           └────▶ 4xx, 5xx
 *
 * @throws TargetError
 */
export function readTransparent({ method, url = '', rawHeaders }: IncomingMessage): HttpTarget {
  const hosts = values(rawHeaders, 'host');
  // RFC 9112, section 3.2.4: about the server as a whole.
  if (method === 'OPTIONS' && url === '*') return { ...parseOriginForm('/', hosts), path: '*' };
  return parseOriginForm(url, hosts);
}
