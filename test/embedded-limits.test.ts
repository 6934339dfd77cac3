import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { BoundedMap } from '../src/embedded/bounded-map.ts';
import type { Limits } from '../src/embedded/limits.ts';
import { createEmbeddedUpstream } from '../src/embedded/server.ts';
import { soon } from './helpers/proxy.ts';
import { wavFile, wavHeader } from './helpers/wav.ts';

let app: ReturnType<typeof createEmbeddedUpstream>;
let url: string;

async function start(limits?: Partial<Limits>): Promise<void> {
  app = createEmbeddedUpstream(limits);
  url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/gradio_api`;
}

afterEach(() => app?.close());

function upload(...names: string[]): Promise<Response> {
  const form = new FormData();
  for (const name of names) form.append('files', new File([wavFile()], name));
  return fetch(`${url}/upload`, { method: 'POST', body: form });
}

function postJson(path: string, body: unknown): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

async function submit(path: string): Promise<string> {
  const response = await postJson('/call/transcribe', { data: [{ path }] });
  return ((await response.json()) as { event_id: string }).event_id;
}

async function events(id: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/call/transcribe/${id}`);
  return { status: response.status, text: await response.text() };
}

function resultUrls(text: string): string[] {
  return [...text.matchAll(/"url":"([^"]+)"/g)].map(([, found]) => String(found));
}

describe('what is forgotten', () => {
  test('a bounded map forgets its oldest entry; one that is set again is new', () => {
    const map = new BoundedMap<number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    map.set('c', 4);
    expect(map.take(() => true)).toEqual([
      ['a', 3],
      ['c', 4],
    ]);
    expect(map.get('a')).toBeUndefined();
  });

  test('the oldest upload', async () => {
    await start({ uploads: 2 });
    const [first, second, third] = (await (
      await upload('1.wav', '2.wav', '3.wav')
    ).json()) as string[];
    expect((await events(await submit(String(first)))).text).toContain('No such upload');
    expect((await events(await submit(String(second)))).text).toContain(' 2.wav: 1.0 s');
    expect((await events(await submit(String(third)))).text).toContain(' 3.wav: 1.0 s');
  });

  test('the oldest result files', async () => {
    await start({ results: 5 });
    const [path] = (await (await upload('a.wav')).json()) as string[];
    const older = resultUrls((await events(await submit(String(path)))).text);
    const newer = resultUrls((await events(await submit(String(path)))).text);
    const statuses = await Promise.all(
      [...older, ...newer].map(async (each) => (await fetch(each)).status),
    );
    expect(statuses).toEqual([404, 404, 404, 200, 200, 200, 200, 200]);
  });

  test('the oldest answer, and one that was fetched', async () => {
    await start({ jobs: 1 });
    const [path] = (await (await upload('a.wav')).json()) as string[];
    const first = await submit(String(path));
    const second = await submit(String(path));
    expect((await events(first)).status).toBe(404);
    expect((await events(second)).text).toMatch(/^event: complete\n/);
    expect((await events(second)).status).toBe(404);
  });
});

describe('what is refused', () => {
  test('a file that is too large, while it is still being sent', async () => {
    await start({ fileSize: 32_044 });
    expect((await upload('fits.wav')).status).toBe(200);
    const form = new FormData();
    form.append('files', new File([wavFile({ dataBytes: 10_000_000 })], 'large.wav'));
    const response = await fetch(`${url}/upload`, { method: 'POST', body: form });
    expect(response.status).toBe(413);
    expect(await response.json()).toEqual({ detail: 'A file is larger than 32044 bytes.' });
  });

  test('a raw body that is too large', async () => {
    await start({ fileSize: 1000 });
    const response = await fetch(`${url.replace('/gradio_api', '')}/transcribe`, {
      method: 'POST',
      headers: { 'content-type': 'audio/wav' },
      body: new Uint8Array(wavFile()),
    });
    expect(response.status).toBe(413);
    expect(await response.text()).toBe('A file is larger than 1000 bytes.\n');
  });

  test('too many files', async () => {
    await start({ files: 2 });
    expect((await upload('1.wav', '2.wav')).status).toBe(200);
    expect((await upload('1.wav', '2.wav', '3.wav')).status).toBe(413);
  });

  test('too many heartbeats, until one has gone', async () => {
    await start({ heartbeats: 1 });
    const gone = new AbortController();
    const first = await fetch(`${url}/heartbeat/a`, { signal: gone.signal });
    expect(first.status).toBe(200);
    expect((await fetch(`${url}/heartbeat/b`)).status).toBe(503);
    gone.abort();
    await soon(async () => expect((await fetch(`${url}/heartbeat/c`)).status).toBe(200));
  });

  test('too many connections', async () => {
    await start({ connections: 1 });
    const heartbeat = await fetch(`${url}/heartbeat/a`);
    expect(heartbeat.status).toBe(200);
    await expect(fetch(`${url}/info`)).rejects.toThrow('fetch failed');
  });

  test('asking for the head of a stream, which has no end', async () => {
    await start();
    expect((await fetch(`${url}/heartbeat/a`, { method: 'HEAD' })).status).toBe(404);
  });

  test.each([
    ['a body that is not JSON', 400, '/queue/join', '{'],
    ['a large body', 413, '/queue/join', JSON.stringify({ data: ['x'.repeat(70_000)] })],
    ['a job without a session', 422, '/queue/join', '{"fn_index":0,"data":[]}'],
    ['another function', 422, '/queue/join', '{"session_hash":"a","fn_index":1,"data":[]}'],
    ['inputs that are no list', 422, '/call/transcribe', '{"data":"x"}'],
    ['another endpoint', 422, '/call/translate', '{"data":[]}'],
    ['another path', 404, '/run/transcribe', '{"data":[]}'],
  ])('%s', async (_, status, path, body) => {
    await start();
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ detail: expect.stringMatching(/./) });
  });

  test.each([
    '/etc/passwd',
    '../package.json',
    '%2e%2e%2fpackage.json',
    'package.json',
    '__proto__',
    '',
  ])('the file %j, which is no result', async (path) => {
    await start();
    const address = new URL(url);
    const sent = request({
      port: address.port,
      host: address.hostname,
      path: `/gradio_api/file=${path}`,
    });
    const [response] = await once(sent.end(), 'response');
    response.resume();
    expect(response.statusCode).toBe(404);
  });

  test('an uploaded recording, which is not kept', async () => {
    await start();
    const [path] = (await (await upload('a.wav')).json()) as string[];
    expect((await fetch(`${url}/file=${path}`)).status).toBe(404);
  });

  test('the stream of a session that has no job', async () => {
    await start();
    const text = await (await fetch(`${url}/queue/data?session_hash=none`)).text();
    expect(text).toContain('"session_not_found":true');
    expect(text).toMatch(/"msg":"close_stream".*\n\n$/);
  });
});

test('an upload of 200 MiB does not stay in memory', async () => {
  await start();
  const chunk = Buffer.alloc(64 * 1024);
  const boundary = 'b';
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="f"; filename="long.wav"\r\n\r\n`;
  const sent = request(`${url}/upload`, {
    method: 'POST',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  });
  const answer = once(sent, 'response');
  sent.write(head);
  sent.write(wavHeader({ dataBytes: 200 * 2 ** 20 }));
  const before = process.memoryUsage().rss;
  let most = before;
  for (let i = 0; i < 3200; i++) {
    if (!sent.write(chunk)) await once(sent, 'drain');
    if (i % 100 === 0) most = Math.max(most, process.memoryUsage().rss);
  }
  sent.end(`\r\n--${boundary}--\r\n`);
  const [response] = await answer;
  let body = '';
  for await (const part of response) body += part;
  expect(body).toMatch(/^\["uploads\/[\w-]+\/long\.wav"\]$/);
  expect((most - before) / 2 ** 20).toBeLessThan(100);
});

test('an upload that is broken off harms nobody', async () => {
  await start();
  const sent = request(`${url}/upload`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
  });
  sent.on('error', () => {});
  sent.write('--b\r\nContent-Disposition: form-data; name="f"; filename="a.wav"\r\n\r\nRIFF');
  await delay(50);
  sent.destroy();
  await delay(50);
  expect((await upload('a.wav')).status).toBe(200);
});

test('closing ends open streams', async () => {
  await start();
  const heartbeat = await fetch(`${url}/heartbeat/a`);
  const reader = heartbeat.body?.getReader();
  const first = await reader?.read();
  expect(new TextDecoder().decode(first?.value)).toBe('data: ALIVE\n\n');
  await app.close();
  await expect(reader?.read()).rejects.toThrow();
});
