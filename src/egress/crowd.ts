import type { Server } from 'node:net';
import { type DecisionLog, type DecisionRecord, newId, type Via } from '../log/decision-log.ts';
import type { ClientList } from '../net/client-list.ts';
import { type CrowdHandlers, type CrowdLimits, limitCrowd } from '../net/crowd.ts';
import type { Reason } from '../policy/decide.ts';

/** Connections beyond the limit that are still told so, before they are dropped unheard. */
const REFUSED_AT_ONCE = 64;
/** Connections of those who may not use egress, on each listener. */
const STRANGERS = 16;

/** Whose connections a listener takes, and where it tells of the others. */
export interface EgressCrowd {
  clients: ClientList;
  /** Shared by all listeners: see `crowdLimits`. */
  limits: CrowdLimits;
  log: DecisionLog;
}

/** The limits of a listener, for a value of EGRESS_MAX_CONNECTIONS. */
export function crowdLimits(maxConnections: number): CrowdLimits {
  return { known: maxConnections + REFUSED_AT_ONCE, strangers: STRANGERS };
}

/**
 * Drops what comes beyond the limits and beyond those that are told so, and logs it.
 * @param refuse answers who may not use egress, where it is to be answered at all.
 */
export function limitConnections(
  server: Server,
  { clients, limits, log }: EgressCrowd,
  via: Via,
  refuse?: CrowdHandlers['refuse'],
): void {
  limitCrowd(server, clients, limits, {
    ...(refuse === undefined ? {} : { refuse }),
    onDrop: (client, isKnown) => {
      log.decide(unheard(isKnown ? 'too_many_connections' : 'client_not_allowed', via, client));
    },
  });
}

/** The record of a connection that ends before anything on it was heard. */
export function unheard(
  reason: Reason,
  via: Via,
  client: string | null,
  error?: string,
): DecisionRecord {
  return {
    event: 'egress',
    decision: 'deny',
    reason,
    rule: null,
    via,
    method: null,
    host: null,
    port: null,
    address: null,
    client,
    id: newId(),
    ...(error === undefined ? {} : { error }),
  };
}
