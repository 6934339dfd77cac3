import type { Server } from 'node:net';
import { type DecisionLog, newId, type Via } from '../log/decision-log.ts';
import { peerAddress } from '../net/client-list.ts';

/** Connections beyond the limit that are still told so, before they are dropped unheard. */
const REFUSED_AT_ONCE = 64;

/** Drops what comes beyond the limit and beyond those that are told so, and logs it. */
export function limitConnections(
  server: Server,
  maxConnections: number,
  via: Via,
  log: DecisionLog,
): void {
  server.maxConnections = maxConnections + REFUSED_AT_ONCE;
  server.on('drop', (data) => {
    log.decide({
      event: 'egress',
      decision: 'deny',
      reason: 'too_many_connections',
      rule: null,
      via,
      method: null,
      host: null,
      port: null,
      address: null,
      client: peerAddress(data?.remoteAddress),
      id: newId(),
    });
  });
}
