import type { FastifyInstance } from 'fastify';
import type { Snapshot } from '../report/snapshot.ts';

/** Adds `GET /decisions`: what the program remembers of its decisions. */
export function addDecisions(app: FastifyInstance, snapshot: () => Snapshot): void {
  app.get('/decisions', async () => snapshot());
}
