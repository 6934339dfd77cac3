import type { IncomingMessage } from 'node:http';
import { parseHttpUri } from '../policy/target.ts';
import type { HttpTarget } from './request.ts';

/**
 * A plain HTTP request of a program that asks its proxy, in absolute-form (RFC 9112, section 3.2.2):
 *
 *     whisper ── GET http://host/path ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                          └────▶ 4xx, 5xx
 *
 * @throws TargetError
 */
export function readForward(request: IncomingMessage): HttpTarget {
  return parseHttpUri(request.url ?? '');
}
