import type { IncomingMessage } from 'node:http';
import { parseHttpUri } from '../policy/target.ts';
import type { HttpTarget } from './request.ts';

const NO_PATH = /^[^/]*\/\/[^/?]*$/;

/**
 * A plain HTTP request of a program that asks its proxy, in absolute-form (RFC 9112, section 3.2.2):
 *
 *     whisper ── GET http://host/path ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                          └────▶ 4xx, 5xx
 *
 * @throws TargetError
 */
export function readForward({ method, url = '' }: IncomingMessage): HttpTarget {
  const read = parseHttpUri(url);
  // RFC 9112, section 3.2.4: about the server as a whole.
  return method === 'OPTIONS' && NO_PATH.test(url) ? { ...read, path: '*' } : read;
}
