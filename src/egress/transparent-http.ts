import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { values } from '../http/headers.ts';
import { endWith } from '../http/last-answer.ts';
import { parseOriginForm, TargetError } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { attemptOf } from './attempt.ts';
import type { HttpTarget } from './request.ts';

/**
 * A plain HTTP request of a program that knows of no proxy, and was sent here by the name server:
 *
 *     whisper ── GET /path, Host: host ─▶ admit ─▶ GET /path, Host: host ─▶ target
 *                                           └────▶ 4xx, 5xx
 *
 * @throws TargetError
 */
export function readTransparent(request: IncomingMessage): HttpTarget {
  return parseOriginForm(request.url ?? '', values(request.rawHeaders, 'host'));
}

/** Whoever asks for a tunnel knows of proxies, and belongs on the other listener. */
export async function refuseConnect(
  admissions: Admissions,
  request: IncomingMessage,
  client: Socket,
): Promise<void> {
  client.on('error', () => undefined);
  const attempt = attemptOf('transparent_http', 'CONNECT', request.url ?? null, client, () => {
    throw new TargetError('CONNECT is taken on EGRESS_LISTEN alone');
  });
  const admission = await admissions.admit(attempt);
  if (!admission.admitted) endWith(client, formatAnswer(admission.answer));
}
