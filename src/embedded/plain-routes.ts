import type { FastifyInstance, FastifyRequest } from 'fastify';
import { toneWav } from './demo-wav.ts';
import { TITLE } from './gradio-config.ts';
import type { Limits } from './limits.ts';
import type { Recording } from './recording.ts';
import { RequestFault } from './request-fault.ts';
import { rootOf } from './root.ts';
import { transcriptOf } from './transcript.ts';
import { readMultipart, readRawBody } from './upload.ts';

const DEMO_SECONDS = 1;
const DEMO_SAMPLE_RATE = 16_000;
const DEMO_PITCH = 440;

/** What can be tried with a browser and curl alone: `/`, `/demo.wav` and `/transcribe`. */
export function addPlainRoutes(app: FastifyInstance, limits: Limits): void {
  const demo = toneWav(DEMO_SECONDS, DEMO_SAMPLE_RATE, DEMO_PITCH);

  app.get('/', (request, reply) => {
    return reply.type('text/html; charset=utf-8').send(page(rootOf(request.headers)));
  });

  app.get('/demo.wav', (_request, reply) => reply.type('audio/wav').send(demo));

  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _body, done) => done(null));
    scope.setErrorHandler<Error & { statusCode?: number }>((error, _request, reply) => {
      const status = error.statusCode ?? 500;
      return reply.code(status).type('text/plain; charset=utf-8').send(`${error.message}\n`);
    });
    scope.post('/transcribe', async (request, reply) => {
      const recordings = await readBody(request, limits);
      if (recordings.length === 0) {
        throw new RequestFault(400, "There is no file in the upload: curl -F 'file=@name.wav' …");
      }
      if (request.headers.accept?.includes('application/json')) {
        return recordings.map((recording) => ({ ...recording, text: transcriptOf(recording) }));
      }
      const lines = recordings.map((recording) => `${transcriptOf(recording)}\n`);
      return reply.type('text/plain; charset=utf-8').send(lines.join(''));
    });
  });
}

async function readBody(request: FastifyRequest, limits: Limits): Promise<Recording[]> {
  if (/^multipart\/form-data/i.test(request.headers['content-type'] ?? '')) {
    return readMultipart(request.raw, limits);
  }
  const recording = await readRawBody(request.raw, 'recording.wav', limits);
  return recording.size === 0 ? [] : [recording];
}

function page(root: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${TITLE}</title>
<h1>${TITLE}</h1>
<p>There is no whisper here. whisper-proxy runs this small program in its place, so that the way
to it can be tried. It answers an upload with what it was: its length, size and digest.</p>
<pre>curl -s ${root}/demo.wav | curl -sF 'file=@-;filename=demo.wav' ${root}/transcribe</pre>
<p>Gradio clients find their API here too: <a href="/config">/config</a>,
<a href="/gradio_api/info">/gradio_api/info</a>.</p>
</html>
`;
}
