import Fastify, { type FastifyInstance } from 'fastify';
import type { Metrics } from '../metrics/metrics.ts';
import { guard, SECURITY_HEADERS } from './guard.ts';
import { addMetrics } from './metrics.ts';
import { readLoginForm, servePage } from './page.ts';
import { type AdminReaders, addReaders } from './readers.ts';
import { requireToken } from './token.ts';

const MAX_CONNECTIONS = 64;
const HEADERS_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_MS = 1_000;

export interface AdminOptions extends AdminReaders {
  /** null: on loopback, where nobody else can connect. */
  token: string | null;
  metrics: Metrics;
}

/** The admin listener, not listening yet; it only reads. */
export function createAdmin(options: AdminOptions): FastifyInstance {
  const { token, metrics } = options;
  const app = Fastify({
    forceCloseConnections: true,
    requestTimeout: 10_000,
    // Node would look every thirty seconds, and 64 silent connections shut everybody out until then.
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS },
    // It is answered before any hook.
    frameworkErrors: (_error, _request, reply) => {
      const body = JSON.stringify({ error: 'the path of this request cannot be read' });
      reply.raw.setHeaders(SECURITY_HEADERS);
      reply.raw.writeHead(400, { 'Content-Type': 'application/json; charset=utf-8' }).end(body);
    },
  });
  // Of those who have no token as well: they must not take the program's descriptors.
  app.server.maxConnections = MAX_CONNECTIONS;
  // Node shows no more than 1000 fields otherwise, and a second Host may be behind them.
  app.server.maxHeadersCount = 0;
  guard(app);
  if (token !== null) requireToken(app, token, readLoginForm());
  servePage(app);
  addReaders(app, options);
  addMetrics(app, metrics);
  return app;
}
