import type { FastifyInstance } from 'fastify';
import type { Snapshot } from '../report/snapshot.ts';
import { addDecisions } from './decisions.ts';
import { addEvents, type DecisionEvents } from './events.ts';
import type { Health } from './health.ts';
import type { StatusFeed } from './status.ts';

/** What can be read of the running proxy. */
export interface AdminReaders {
  health: () => Promise<Health>;
  decisions: () => Snapshot;
  events: DecisionEvents;
  status: StatusFeed;
}

/** Adds `GET /healthz`, `/decisions` and `/events`. */
export function addReaders(
  app: FastifyInstance,
  { health, decisions, events, status }: AdminReaders,
): void {
  app.get('/healthz', health);
  addDecisions(app, decisions);
  addEvents(app, events, status);
}
