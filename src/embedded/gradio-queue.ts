import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { eventBlock, pause, sendEvents } from './event-stream.ts';
import { API_NAME, API_PREFIX, FN_INDEX } from './gradio-config.ts';
import { transcribe } from './job.ts';
import type { Limits } from './limits.ts';
import type { Outcome } from './outcome.ts';
import { RequestFault } from './request-fault.ts';
import { rootOf } from './root.ts';
import type { Store } from './store.ts';

// The protocol ends a stream when no job is left, and a job that joins just then would wait for
// ever: so those that are submitted together are gathered first.
const GATHER_MS = 50;

const SESSION = { type: 'string', minLength: 1, maxLength: 100 };
const INPUTS = { type: 'array', maxItems: 10 };

const JOIN_SCHEMA = {
  body: {
    type: 'object',
    properties: { session_hash: SESSION, fn_index: { const: FN_INDEX }, data: INPUTS },
    required: ['session_hash', 'fn_index', 'data'],
  },
};
const CALL_SCHEMA = {
  params: { type: 'object', properties: { api_name: { const: API_NAME } } },
  body: { type: 'object', properties: { data: INPUTS }, required: ['data'] },
};
const DATA_SCHEMA = {
  querystring: {
    type: 'object',
    properties: { session_hash: SESSION },
    required: ['session_hash'],
  },
};

/**
 * The two ways to run a job, each a POST that gives an event id and a GET that streams its events:
 * `queue/join` with `queue/data`, which Gradio's clients use, and `call`, which is made for curl.
 */
export function addQueueRoutes(app: FastifyInstance, store: Store, limits: Limits): void {
  const submit = (inputs: unknown[], request: FastifyRequest, session?: string) => {
    const eventId = randomUUID();
    const outcome = transcribe(inputs, store, rootOf(request.headers), limits);
    store.jobs.set(eventId, { session: session ?? eventId, outcome });
    return { event_id: eventId };
  };

  app.post<{ Body: { session_hash: string; data: unknown[] } }>(
    `${API_PREFIX}/queue/join`,
    { schema: JOIN_SCHEMA },
    (request) => submit(request.body.data, request, request.body.session_hash),
  );

  app.get<{ Querystring: { session_hash: string } }>(
    `${API_PREFIX}/queue/data`,
    { schema: DATA_SCHEMA, exposeHeadRoute: false },
    (request, reply) =>
      sendEvents(reply, (gone) => sessionEvents(request.query.session_hash, store, gone)),
  );

  app.post<{ Body: { data: unknown[] } }>(
    `${API_PREFIX}/call/:api_name`,
    { schema: CALL_SCHEMA },
    (request) => submit(request.body.data, request),
  );

  app.get<{ Params: { event_id: string } }>(
    `${API_PREFIX}/call/${API_NAME}/:event_id`,
    { exposeHeadRoute: false },
    (request, reply) => {
      const [job] = store.jobs.take((eventId) => eventId === request.params.event_id);
      if (!job) throw new RequestFault(404, 'No such event, or its answer was fetched already.');
      return sendEvents(reply, () => callEvents(job[1].outcome));
    },
  );

  // A job is done before anybody can cancel it; clients only want to hear that they were heard.
  for (const name of ['cancel', 'reset']) {
    app.post(`${API_PREFIX}/${name}`, () => ({ success: true }));
  }
}

async function* sessionEvents(
  session: string,
  store: Store,
  gone: AbortSignal,
): AsyncGenerator<string> {
  yield eventBlock({ msg: 'heartbeat' });
  await pause(GATHER_MS, gone);
  const jobs = store.jobs.take((_, job) => job.session === session);
  if (jobs.length === 0) {
    const message = 'The stand-in has no job of this session.';
    yield eventBlock({ msg: 'unexpected_error', message, session_not_found: true, success: false });
  }
  for (const [eventId, { outcome }] of jobs) {
    yield eventBlock({ msg: 'process_starts', event_id: eventId, eta: null });
    yield eventBlock(completion(eventId, outcome));
  }
  yield eventBlock({ msg: 'close_stream', event_id: null });
}

function completion(eventId: string, outcome: Outcome) {
  const success = 'data' in outcome;
  const output = success
    ? { ...outcome, is_generating: false, duration: 0, render_config: null, changed_state_ids: [] }
    : { ...outcome, title: 'Error', visible: true, duration: 10 };
  return { msg: 'process_completed', event_id: eventId, output, success };
}

async function* callEvents(outcome: Outcome): AsyncGenerator<string> {
  yield 'data' in outcome ? eventBlock(outcome.data, 'complete') : eventBlock(outcome, 'error');
}
