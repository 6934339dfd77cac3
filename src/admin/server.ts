import { createHash, timingSafeEqual } from 'node:crypto';
import Fastify, { type FastifyInstance } from 'fastify';
import type { ConfigState } from '../live/reload.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Snapshot } from '../report/snapshot.ts';
import { addDecisions } from './decisions.ts';
import { addEvents, type DecisionEvents } from './events.ts';
import { addMetrics } from './metrics.ts';

/** What `GET /healthz` tells. */
export interface Health {
  status: 'ok';
  /** Where the listeners are. */
  listeners: Record<string, string>;
  upstream: {
    address: string;
    /** Information, not a condition: the proxy is healthy while whisper loads its model. */
    state: 'up' | 'down';
    /** The code of the error, where it is down. */
    error?: string;
  };
  mode: 'enforce' | 'report';
  /** Which configuration is in force. */
  config: ConfigState;
  /** What is allowed for a time, and until when (ISO 8601). */
  timed: { rule: string; until: string }[];
  warnings: string[];
}

export interface AdminOptions {
  /** null: on loopback, where nobody else can connect. */
  token: string | null;
  health: () => Promise<Health>;
  metrics: Metrics;
  decisions: () => Snapshot;
  events: DecisionEvents;
}

/** The admin listener, not listening yet; it only reads. */
export function createAdmin(options: AdminOptions): FastifyInstance {
  const { token, health, metrics, decisions, events } = options;
  const app = Fastify({ forceCloseConnections: true, requestTimeout: 10_000 });
  app.addHook('onRequest', async (request, reply) => {
    if (token === null || isBearer(request.headers.authorization, token)) return;
    await reply
      .code(401)
      .header('WWW-Authenticate', 'Bearer')
      .send({ error: 'this needs ADMIN_TOKEN as a Bearer token' });
  });
  app.get('/healthz', async (_request, reply) => {
    reply.header('Cache-Control', 'no-store');
    return health();
  });
  addMetrics(app, metrics);
  addDecisions(app, decisions);
  addEvents(app, events);
  return app;
}

/** Compares hashes, which have one length, in constant time. */
function isBearer(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer (.*)$/i.exec(authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(sha256(given), sha256(token));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
