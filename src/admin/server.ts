import Fastify, { type FastifyInstance } from 'fastify';
import type { Metrics } from '../metrics/metrics.ts';
import type { Snapshot } from '../report/snapshot.ts';
import { addDecisions } from './decisions.ts';
import { addEvents, type DecisionEvents } from './events.ts';
import { guard, SECURITY_HEADERS } from './guard.ts';
import type { Health } from './health.ts';
import { addMetrics } from './metrics.ts';
import { servePage } from './page.ts';
import { requireToken } from './token.ts';

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
  const app = Fastify({
    forceCloseConnections: true,
    requestTimeout: 10_000,
    // It is answered before any hook.
    frameworkErrors: (_error, _request, reply) => {
      const body = JSON.stringify({ error: 'the path of this request cannot be read' });
      reply.raw.setHeaders(SECURITY_HEADERS);
      reply.raw.writeHead(400, { 'Content-Type': 'application/json; charset=utf-8' }).end(body);
    },
  });
  guard(app);
  if (token !== null) requireToken(app, token);
  servePage(app);
  app.get('/healthz', health);
  addMetrics(app, metrics);
  addDecisions(app, decisions);
  addEvents(app, events);
  return app;
}
