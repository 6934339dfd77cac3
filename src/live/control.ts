import Fastify, { type FastifyInstance } from 'fastify';
import { parseDuration, ValueError } from '../config/values.ts';
import { RuleError } from '../policy/rules.ts';
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

/** A day: what is needed longer belongs in the configuration. */
const LONGEST_MS = 24 * 3_600_000;

/**
 * What takes commands, on a unix socket inside the container: whoever can connect to that can run
 * programs there. Nothing that changes anything has another way in.
 */
export function createControl(timed: TimedAllows): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true, requestTimeout: 10_000 });
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
    if (milliseconds > LONGEST_MS) throw new ValueError('it must be a time of at most 24h');
    const answer: AllowAnswer = { until: timed.allow(body.rules, milliseconds).toISOString() };
    return answer;
  });
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const isBadInput =
      error instanceof ValueError || error instanceof RuleError || error instanceof TimedAllowError;
    const status = isBadInput ? 400 : (error.statusCode ?? 500);
    return reply.code(status).send({ error: error.message });
  });
  return app;
}
