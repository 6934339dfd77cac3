import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { pause, sendEvents } from './event-stream.ts';
import { API_PREFIX, gradioConfig, gradioInfo } from './gradio-config.ts';
import type { Limits } from './limits.ts';
import { RequestFault } from './request-fault.ts';
import { rootOf } from './root.ts';
import type { Store } from './store.ts';
import { readMultipart } from './upload.ts';

// As often as Gradio sends it.
const HEARTBEAT_MS = 15_000;

/** What a Gradio client asks before and after a job: the API, heartbeat, uploads and result files. */
export function addGradioRoutes(app: FastifyInstance, store: Store, limits: Limits): void {
  app.get('/config', (request) => gradioConfig(rootOf(request.headers)));

  app.get(`${API_PREFIX}/info`, () => gradioInfo());

  let heartbeats = 0;
  app.get(`${API_PREFIX}/heartbeat/:session`, { exposeHeadRoute: false }, (_request, reply) => {
    if (heartbeats >= limits.heartbeats) throw new RequestFault(503, 'Too many open heartbeats.');
    heartbeats += 1;
    reply.raw.once('close', () => {
      heartbeats -= 1;
    });
    return sendEvents(reply, alive);
  });

  app.get<{ Params: { '*': string } }>(`${API_PREFIX}/file=*`, (request, reply) => {
    const file = store.results.get(request.params['*']);
    if (!file) {
      throw new RequestFault(
        404,
        'No such result. Recordings are not kept, old results forgotten.',
      );
    }
    return reply.type(`${file.mimeType}; charset=utf-8`).send(file.content);
  });

  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('multipart/form-data', (_request, _body, done) => done(null));
    scope.post(`${API_PREFIX}/upload`, async (request) => {
      const recordings = await readMultipart(request.raw, limits);
      return recordings.map((recording) => {
        const path = `uploads/${randomUUID()}/${recording.name}`;
        store.uploads.set(path, recording);
        return path;
      });
    });
  });
}

async function* alive(gone: AbortSignal): AsyncGenerator<string> {
  while (!gone.aborted) {
    yield 'data: ALIVE\n\n';
    await pause(HEARTBEAT_MS, gone);
  }
}
