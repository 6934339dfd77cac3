import Fastify, { type FastifyInstance } from 'fastify';
import { type AdminReaders, addReaders } from '../admin/readers.ts';
import { parseDuration, ValueError } from '../config/values.ts';
import { RuleError } from '../policy/rules.ts';
import type { NotReloaded, Reloaded } from './reload.ts';
import { TimedAllowError, type TimedAllows } from './timed-allows.ts';

/** What `POST /allow` takes. */
export interface AllowCommand {
  rules: string[];
  /** As in `30m`. */
  for: string;
}

/** What it answers. */
export interface AllowAnswer {
  /** ISO 8601. */
  until: string;
}

/** What commands work on. */
export interface ControlParts {
  timed: TimedAllows;
  /** null: the program stops. */
  reload: () => Promise<Reloaded | NotReloaded | null>;
  readers: AdminReaders;
}

/** A day: what is needed longer belongs in the configuration. */
export const LONGEST_ALLOW_MS = 24 * 3_600_000;

/**
 * What takes commands, on a unix socket inside the container: whoever can connect to that can run
 * programs there. Nothing that changes anything has another way in. It can be read here as well, so
 * that `health` and `denied` do not depend on a listener that the configuration may have moved.
 */
export function createControl({ timed, reload, readers }: ControlParts): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true, requestTimeout: 10_000 });
  // Where whisper's own socket lies in a shared folder, it could lead ingress here: that marks what it passes on.
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers['x-forwarded-for'] === undefined) return;
    await reply.code(403).send({ error: 'nothing that was passed on is taken here' });
  });
  addReaders(app, readers);
  const body = {
    type: 'object',
    required: ['rules', 'for'],
    properties: {
      rules: { type: 'array', minItems: 1, items: { type: 'string' } },
      for: { type: 'string' },
    },
  };
  app.post<{ Body: AllowCommand }>('/allow', { schema: { body } }, async ({ body }) => {
    const milliseconds = parseDuration(body.for);
    if (milliseconds > LONGEST_ALLOW_MS) throw new ValueError('it must be a time of at most 24h');
    const answer: AllowAnswer = { until: timed.allow(body.rules, milliseconds).toISOString() };
    return answer;
  });
  app.post('/reload', async (_request, reply) => {
    const done = await reload();
    if (done === null) return reply.code(503).send({ error: 'it is stopping' });
    return reply.code('faults' in done ? 422 : 200).send(done);
  });
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const isBadInput =
      error instanceof ValueError || error instanceof RuleError || error instanceof TimedAllowError;
    const status = isBadInput ? 400 : (error.statusCode ?? 500);
    return reply.code(status).send({ error: error.message });
  });
  return app;
}
