import { isIP } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Resolve } from '../src/net/resolve.ts';
import { freePort } from './helpers/free-port.ts';
import { ask, startIngress } from './helpers/ingress.ts';
import { startRawUpstream, startUpstream } from './helpers/upstream.ts';

const LOADING =
  /^whisper-proxy: whisper does not listen at [^\n]+ \(E[A-Z]+\)\. It may still be loading its model; try again in a few seconds\.\n$/;

const notFound: Resolve = async (name) => {
  if (isIP(name)) return [name];
  throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
};

describe('while whisper is down', () => {
  test.each([
    ['its port is closed', async () => `http://127.0.0.1:${await freePort()}`, 502, 'ECONNREFUSED'],
    ['its socket is missing', async () => 'unix:/tmp/no-such.sock', 502, 'ENOENT'],
    ['its name is not found', async () => 'http://whisper-gate:7860', 502, 'ENOTFOUND'],
  ])('%s', async (_, upstream, expected, code) => {
    const { origin } = await startIngress({ UPSTREAM: await upstream() }, notFound);
    const { status, headers, body } = await ask(origin, { method: 'POST' }, 'recording');
    expect(status).toBe(expected);
    expect(headers['retry-after']).toBe('5');
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(String(body)).toMatch(LOADING);
    expect(String(body)).toContain(`(${code})`);
  });

  test('it times out', async () => {
    const resolve = () => new Promise<string[]>(() => undefined);
    const env = { UPSTREAM: 'http://whisper-gate:7860', INGRESS_CONNECT_TIMEOUT: '100ms' };
    const { origin } = await startIngress(env, resolve);
    const { status, headers, body } = await ask(origin);
    expect(status).toBe(504);
    expect(headers['retry-after']).toBe('5');
    expect(String(body)).toMatch(LOADING);
  });

  test('it resets the connection before it answers', async () => {
    const { address } = await startRawUpstream((socket) => void socket.resetAndDestroy());
    const { origin } = await startIngress({ UPSTREAM: address });
    const { status, headers, body } = await ask(origin);
    expect(status).toBe(502);
    expect(headers['retry-after']).toBe('5');
    expect(String(body)).toMatch(
      /^whisper-proxy: whisper at [^\n]+ ended the connection before it answered \([A-Z_]+\)\. It may have been restarted; try again\.\n$/,
    );
  });
});

test('when whisper comes up, the same client is served; when it restarts, too', async () => {
  const port = await freePort();
  const { origin } = await startIngress({ UPSTREAM: `http://127.0.0.1:${port}` });
  expect((await ask(origin)).status).toBe(502);
  for (const name of ['first', 'second']) {
    const { server } = await startUpstream((_request, response) => response.end(name), port);
    expect(String((await ask(origin)).body)).toBe(name);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect((await ask(origin)).status).toBe(502);
  }
});

test('a large upload to a whisper that is down is answered, and is not waited for', async () => {
  const { origin } = await startIngress({ UPSTREAM: `http://127.0.0.1:${await freePort()}` });
  const { status } = await ask(origin, { method: 'POST' }, Buffer.alloc(20 * 2 ** 20));
  expect(status).toBe(502);
});
