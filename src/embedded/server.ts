import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { hostFieldFault } from '../http/host-field.ts';
import { addQueueRoutes } from './gradio-queue.ts';
import { addGradioRoutes } from './gradio-routes.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { addPlainRoutes } from './plain-routes.ts';
import { createStore } from './store.ts';

const MAX_JSON_BYTES = 64 * 1024;

/**
 * A stand-in for whisper that is shaped like a Gradio 5 application, for trying out the way to it.
 * It recognises no speech, and says so in all that it answers. Audio is read as it comes and
 * dropped; nothing is written to disk. It reaches out to nowhere.
 *
 * @param limits what differs from `DEFAULT_LIMITS`
 * @returns a server that does not listen yet; closing it ends its open streams
 */
export function createEmbeddedUpstream(limits: Partial<Limits> = {}): FastifyInstance {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const store = createStore(all);
  const app = Fastify({
    logger: false,
    bodyLimit: MAX_JSON_BYTES,
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false } },
  });
  app.server.maxConnections = all.connections;
  // A second Host must not hide behind the 1000 fields that Node shows otherwise.
  app.server.maxHeadersCount = 0;

  // FastAPI's form: Gradio's clients show what `detail` says.
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const status = error.validation ? 422 : (error.statusCode ?? 500);
    return reply.code(status).send({ detail: error.message });
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ detail: 'Not Found' }));

  app.addHook('onRequest', async (request, reply) => {
    const fault = hostFieldFault(request.raw);
    if (fault !== null) await reply.code(400).send({ detail: fault });
  });
  addPlainRoutes(app, all);
  addGradioRoutes(app, store, all);
  addQueueRoutes(app, store, all);
  return app;
}
