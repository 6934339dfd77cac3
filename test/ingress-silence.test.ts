import { once } from 'node:events';
import { request as httpRequest, type ServerResponse } from 'node:http';
import { Pool } from 'undici';
import { expect, onTestFinished, test, vi } from 'vitest';
import { readAnswer, startIngress } from './helpers/ingress.ts';
import { readBody, startUpstream } from './helpers/upstream.ts';
import { wavFile } from './helpers/wav.ts';

const HOUR_MS = 3_600_000;

test('a multipart POST may be answered after hours, which undici by itself would not wait for', async () => {
  // undici measures its time limits with the global setTimeout; the sockets know no fake time.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const path = `/tmp/whisper-proxy-${process.pid}-silence.sock`;
  const waiting: { response: ServerResponse; length: number }[] = [];
  const { server } = await startUpstream(async (request, response) => {
    waiting.push({ response, length: (await readBody(request)).length });
    server.emit('waiting');
  }, path);
  const { port } = await startIngress({ UPSTREAM: `unix:${path}` });

  const boundary = 'x-boundary';
  const part = 'Content-Disposition: form-data; name="file"; filename="a.wav"';
  const body = Buffer.concat([
    Buffer.from(`--${boundary}\r\n${part}\r\n\r\n`),
    wavFile(),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  const outgoing = httpRequest({
    host: 'localhost',
    port,
    path: '/transcribe',
    method: 'POST',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  });
  outgoing.end(body);
  await once(server, 'waiting');

  const unaided = new Pool('http://whisper', { socketPath: path });
  onTestFinished(() => unaided.destroy());
  const control = unaided.request({ path: '/', method: 'POST', body }).catch(({ code }) => code);
  await once(server, 'waiting');

  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect(await control).toBe('UND_ERR_HEADERS_TIMEOUT');
  const [{ response, length } = { response: undefined, length: 0 }] = waiting;
  response?.writeHead(200, { 'content-type': 'application/json' }).write('{"text":');
  const [answer] = await once(outgoing, 'response');
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  response?.end(`"${length} bytes"}`);
  const { body: text } = await readAnswer(answer);
  expect(JSON.parse(String(text))).toEqual({ text: `${body.length} bytes` });
});
