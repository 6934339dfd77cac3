import type { Server } from 'node:net';
import { type DecisionLog, newId, type Via } from '../log/decision-log.ts';
import type { ClientList } from '../net/client-list.ts';
import { type CrowdLimits, limitCrowd } from '../net/crowd.ts';

/** Connections beyond the limit that are still told so, before they are dropped unheard. */
const REFUSED_AT_ONCE = 64;
/** Connections of those who may not use egress, on each listener. */
const STRANGERS = 16;

/** Whose connections a listener takes, and where it tells of the others. */
export interface EgressCrowd {
  clients: ClientList;
  /** EGRESS_MAX_CONNECTIONS. */
  maxConnections: number;
  log: DecisionLog;
}

/** Drops what comes beyond the limits and beyond those that are told so, and logs it. */
export function limitConnections(
  server: Server,
  { clients, maxConnections, log }: EgressCrowd,
  via: Via,
): CrowdLimits {
  const limits = { known: maxConnections + REFUSED_AT_ONCE, strangers: STRANGERS };
  limitCrowd(server, clients, limits, (client, isKnown) => {
    log.decide({
      event: 'egress',
      decision: 'deny',
      reason: isKnown ? 'too_many_connections' : 'client_not_allowed',
      rule: null,
      via,
      method: null,
      host: null,
      port: null,
      address: null,
      client,
      id: newId(),
    });
  });
  return limits;
}
