import Fastify, { type FastifyInstance } from 'fastify';
import { type AdminReaders, addReaders } from '../admin/readers.ts';
import { parseDuration, parseSize, ValueError } from '../config/values.ts';
import { CONTROL_MARK, isForwarded } from '../http/headers.ts';
import { RuleError } from '../policy/rules.ts';
import {
  type AllowAnswer,
  type AllowCommand,
  type AllowList,
  type EndAnswer,
  LONGEST_ALLOW_MS,
  OPERATOR,
} from './orders.ts';
import type { NotReloaded, Reloaded } from './reload.ts';
import { MAX_RULES, TimedAllowError, type TimedAllows } from './timed-allows.ts';

/** What commands work on. */
export interface ControlParts {
  timed: TimedAllows;
  /** null: the program stops. */
  reload: () => Promise<Reloaded | NotReloaded | null>;
  readers: AdminReaders;
}

/**
 * What takes commands, on a unix socket inside the container: whoever can connect to that can run
 * programs there. Nothing that changes anything has another way in. It can be read here as well, so
 * that `health` and `denied` do not depend on a listener that the configuration may have moved.
 */
export function createControl({ timed, reload, readers }: ControlParts): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true, requestTimeout: 10_000 });
  // Where whisper's own socket lies in a shared folder, it could lead ingress here, by a link for one.
  app.addHook('onRequest', async ({ headers }, reply) => {
    const isMarked = headers[CONTROL_MARK] === OPERATOR;
    if (isMarked && !('via' in headers) && !Object.keys(headers).some(isForwarded)) return;
    await reply.code(403).send({ error: 'only the program itself is answered here' });
  });
  addReaders(app, readers);
  addAllow(app, timed);
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

function addAllow(app: FastifyInstance, timed: TimedAllows): void {
  const rules = { type: 'array', items: { type: 'string', maxLength: 300 } };
  const body = {
    type: 'object',
    required: ['rules', 'for'],
    properties: {
      rules: { ...rules, minItems: 1, maxItems: MAX_RULES },
      for: { type: 'string' },
      group: { type: 'string' },
      max_upload: { type: 'string' },
    },
  };
  app.post<{ Body: AllowCommand }>('/allow', { schema: { body } }, async ({ body }) => {
    const milliseconds = parseDuration(body.for);
    if (milliseconds > LONGEST_ALLOW_MS) throw new ValueError('it must be a time of at most 24h');
    const maxUpload = body.max_upload === undefined ? undefined : parseSize(body.max_upload);
    const limits = { group: body.group, maxUpload };
    const { until, rules } = await timed.allow(body.rules, milliseconds, limits);
    const answer: AllowAnswer = { until: until.toISOString(), rules };
    return answer;
  });
  app.get('/allow', async (): Promise<AllowList> => ({ rules: timed.list() }));
  const end = { type: 'object', required: ['rules'], properties: { rules } };
  app.post<{ Body: { rules: string[] } }>(
    '/allow/end',
    { schema: { body: end } },
    async ({ body }): Promise<EndAnswer> => ({ ended: timed.end(body.rules) }),
  );
}
