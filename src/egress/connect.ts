import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { endWith } from '../http/last-answer.ts';
import { splice } from '../net/splice.ts';
import { parseAuthority } from '../policy/target.ts';
import type { Admissions } from './admission.ts';
import { attemptOf } from './attempt.ts';

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

/**
 * A tunnel (RFC 9110, section 9.3.6):
 *
 *     whisper ── CONNECT host:port ─▶ admit ─▶ 200 ─▶ bytes ◀═▶ target
 *                                       └────▶ 4xx, 5xx and the end
 *
 * @param head what came together with the request; it leaves only after the 200.
 * @param idleTimeout milliseconds.
 */
export async function handleConnect(
  admissions: Admissions,
  idleTimeout: number,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => undefined);
  const text = request.url ?? '';
  const attempt = attemptOf('connect', request, client, () => parseAuthority(text));
  const admission = await admissions.admit(attempt);
  if (!admission.admitted) {
    endWith(client, formatAnswer(admission.answer));
    return;
  }
  const { socket } = admission;
  client.write(ESTABLISHED);
  if (head.length > 0) socket.write(head);
  admission.end(await splice(client, socket, idleTimeout));
}
