import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { formatAnswer } from '../http/answer.ts';
import { endWith } from '../http/last-answer.ts';
import type { Via } from '../log/decision-log.ts';
import { closeNow, reset } from '../net/reset.ts';
import { judgeServerName, needsServerName, parseAuthority, TargetError } from '../policy/target.ts';
import { readHello } from '../tls/read-hello.ts';
import { turnAway } from '../tls/turn-away.ts';
import type { Admissions } from './admission.ts';
import { attemptOf, checkMessage } from './attempt.ts';
import type { Passage } from './passage.ts';
import { carry } from './tunnel.ts';

export interface ConnectOptions {
  /** A tunnel to port 443 of a name must begin with a ClientHello that has this name. */
  requireSni: boolean;
  /** Milliseconds for it. */
  helloTimeout: number;
  /** Milliseconds. */
  idleTimeout: number;
}

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

/**
 * A tunnel (RFC 9110, section 9.3.6):
 *
 *     whisper ── CONNECT host:port ─▶ admit ─▶ 200 ─▶ ClientHello for host? ─▶ bytes ◀═▶ target
 *                                       │                   └────▶ alert or reset
 *                                       └────▶ 4xx, 5xx and the end
 *
 * @param head what came together with the request; it leaves only after the 200.
 */
export async function handleConnect(
  admissions: Admissions,
  options: ConnectOptions,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => undefined);
  const text = request.url ?? '';
  const attempt = attemptOf(
    'connect',
    'CONNECT',
    text,
    client,
    () => {
      checkMessage(request);
      return parseAuthority(text);
    },
    request,
  );
  const admission = await admissions.admit(attempt);
  if (!admission.admitted) {
    endWith(client, formatAnswer(admission.answer));
    return;
  }
  admission.onCut(() => reset(client));
  client.write(ESTABLISHED);
  const checked = options.requireSni && needsServerName(admission.target);
  const first = checked
    ? await readNamedHello(admission, options.helloTimeout, client, head)
    : head;
  if (first !== null) await carry(admission, client, first, options.idleTimeout);
}

/**
 * Refuses a tunnel.
 * @param why the sentence without its dot.
 * @param answers whether it may be said here: within another answer it would be taken for a part of that.
 */
export async function refuseConnect(
  admissions: Admissions,
  via: Via,
  request: IncomingMessage,
  client: Socket,
  why: string,
  answers: boolean,
): Promise<void> {
  client.on('error', () => undefined);
  const attempt = attemptOf(
    via,
    'CONNECT',
    request.url ?? null,
    client,
    () => {
      throw new TargetError(why);
    },
    request,
  );
  const admission = await admissions.admit(attempt);
  if (!answers) reset(client);
  else if (!admission.admitted) endWith(client, formatAnswer(admission.answer));
}

/** Reads a ClientHello that names the target. @returns it; null if none came, and the tunnel has ended. */
async function readNamedHello(
  passage: Passage,
  timeout: number,
  client: Socket,
  head: Buffer,
): Promise<Buffer | null> {
  const read = await readHello(client, head, timeout);
  if ('hello' in read && read.hello.ech) passage.noteEch();
  const reason =
    'hello' in read ? judgeServerName(read.hello.serverNames, passage.target) : 'no_sni';
  if (reason === null) return read.bytes;
  // Who went away without a word was not denied anything.
  const silent = read.bytes.length === 0 && 'fault' in read && read.fault === 'hello_cut_off';
  if (!silent) {
    passage.revoke(reason, {
      ...('fault' in read ? { error: read.fault } : {}),
      ...(reason === 'sni_mismatch' && 'hello' in read
        ? { sni: read.hello.serverNames.join(' ') }
        : {}),
    });
  }
  turnAway(client, 'hello' in read ? 'unrecognized_name' : null);
  await closeNow(passage.socket);
  passage.end(silent ? 'ECANCELED' : reason);
  return null;
}
