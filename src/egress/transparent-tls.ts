import { createServer, type Socket } from 'node:net';
import type { Logger } from '../log/logger.ts';
import { peerAddress } from '../net/client-list.ts';
import type { IdleServer } from '../net/listener.ts';
import { reset } from '../net/reset.ts';
import type { Reason } from '../policy/decide.ts';
import { parseServerName, type Target, TargetError } from '../policy/target.ts';
import type { AlertDescription } from '../tls/alert.ts';
import { type HelloRead, readHello } from '../tls/read-hello.ts';
import { turnAway } from '../tls/turn-away.ts';
import type { Admissions } from './admission.ts';
import { attemptOf } from './attempt.ts';
import { type EgressCrowd, limitConnections } from './crowd.ts';
import { carry } from './tunnel.ts';

export interface TlsServerOptions extends EgressCrowd {
  /** Milliseconds for the ClientHello. */
  helloTimeout: number;
  /** Milliseconds. */
  idleTimeout: number;
  logger: Logger;
}

const NOTHING = Buffer.alloc(0);
/** What is logged of something that is no ClientHello. */
const SHOWN_BYTES = 400;
const DENIED: ReadonlySet<Reason> = new Set(['not_allowed', 'deny_rule', 'non_public_address']);

/**
 * TLS of a program that knows of no proxy, and was sent here by the name server; not listening yet:
 *
 *     whisper ── ClientHello for host ─▶ admit host:443 ─▶ bytes ◀═▶ target
 *                                          └────▶ alert or reset
 */
export function createTlsServer(admissions: Admissions, options: TlsServerOptions): IdleServer {
  const silent = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    client.on('error', () => undefined);
    handleTls(admissions, options, silent, client).catch((err: unknown) => {
      options.logger.error({ err }, 'a TLS connection failed');
      client.destroy();
    });
  });
  limitConnections(server, options, 'tls');
  const closeIdleConnections = () => {
    for (const client of silent) client.destroy();
  };
  return Object.assign(server, { closeIdleConnections });
}

/** @param silent the connections that have not said yet what they want. */
async function handleTls(
  admissions: Admissions,
  { helloTimeout, idleTimeout }: TlsServerOptions,
  silent: Set<Socket>,
  client: Socket,
): Promise<void> {
  // The address of a peer that has reset the connection is not known any more.
  if (client.remoteAddress === undefined) {
    client.destroy();
    return;
  }
  if (!(await admissions.admitClient('tls', peerAddress(client.remoteAddress)))) {
    reset(client);
    return;
  }
  silent.add(client);
  const read = await readHello(client, NOTHING, helloTimeout);
  silent.delete(client);
  if ('fault' in read && read.fault === 'hello_cut_off' && read.bytes.length === 0) {
    client.destroy();
    return;
  }
  const ech = 'hello' in read && read.hello.ech;
  const attempt = attemptOf('tls', null, textOf(read), client, () => targetOf(read));
  const admission = await admissions.admit({ ...attempt, ...(ech ? { ech } : {}) });
  if (!admission.admitted) {
    turnAway(client, 'hello' in read ? describe(admission.reason) : null);
    return;
  }
  admission.onCut(() => reset(client));
  await carry(admission, client, read.bytes, idleTimeout);
}

function targetOf(read: HelloRead): Target {
  if ('hello' in read) return parseServerName(read.hello.serverNames);
  throw new TargetError('the connection does not begin with a ClientHello', 'no_sni', read.fault);
}

/** What was asked for, for the log; where it is something else than TLS, its beginning. */
function textOf(read: HelloRead): string | null {
  if ('hello' in read) return read.hello.serverNames.join(' ') || null;
  return read.fault === 'not_tls' ? read.bytes.toString('latin1', 0, SHOWN_BYTES) : null;
}

/**
 * The alert of a refusal. What was not refused, but cannot be reached now, is reset, as it would be
 * without the proxy: programs take an alert for a fault that stays, and do not fall back on what they
 * have cached.
 */
function describe(reason: Reason): AlertDescription | null {
  if (DENIED.has(reason)) return 'access_denied';
  return reason === 'no_sni' || reason === 'bad_target' ? 'unrecognized_name' : null;
}
