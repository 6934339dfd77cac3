import { Agent, METHODS } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ask, askRaw, open, readUntil, startIngress } from './helpers/ingress.ts';
import { readBody, startRawUpstream, startUpstream } from './helpers/upstream.ts';

/** A proxy before an upstream that tells what it got: `METHOD target body`. */
async function startEcho() {
  const { address } = await startUpstream(async (request, response) => {
    response.end(`${request.method} ${request.url} ${await readBody(request)}`);
  });
  return startIngress({ UPSTREAM: address });
}

describe('every method passes', () => {
  const methods = METHODS.filter((method) => method !== 'CONNECT');

  test.each(methods)('%s', async (method) => {
    const { origin } = await startEcho();
    const { status, body } = await ask(`${origin}/x`, { method });
    expect(status).toBe(200);
    expect(String(body)).toBe(method === 'HEAD' ? '' : `${method} /x `);
  });

  test.each(methods.filter((method) => method !== 'HEAD'))('%s with a body', async (method) => {
    const { origin } = await startEcho();
    const headers = { 'content-length': '4' };
    const { status, body } = await ask(`${origin}/x`, { method, headers }, 'wave');
    expect({ status, body: String(body) }).toEqual({ status: 200, body: `${method} /x wave` });
  });
});

const PATHS = [
  '/',
  '//',
  '//evil.example/x',
  '///',
  '/../x',
  '/./x/../../y',
  '/%2e%2e/%2E%2e/x',
  '/%2f%5c',
  '/%zz',
  '/%',
  '/%00',
  '/%ff',
  '/a?b?c=%20&d',
  '/a?',
  '/a??',
  '/a?x=/../..//y',
  '/a;b=c;d',
  "/a'b",
  '/a\\b',
  '/a|b^c`d{e}"f<g>',
  '/:param/*',
  '/a:b@c',
  '/http://evil.example/',
  '/gradio_api/file=/tmp/Bj%C3%B8rn%20(1).txt',
  `/${'x'.repeat(14_000)}`,
  `/?${'%20'.repeat(4_000)}`,
];

describe('every path passes byte for byte', () => {
  test.each(PATHS.map((path) => [path.slice(0, 40), path]))('%s', async (_, path) => {
    const { address } = await startRawUpstream((socket, head) => {
      const target = head.slice('GET '.length, head.indexOf(' HTTP/1.1\r\n'));
      const body = Buffer.from(target, 'latin1').toString('base64');
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const answer = await askRaw(
      port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    const [, body = ''] = answer.split('\r\n\r\n');
    expect(Buffer.from(body, 'base64').toString('latin1')).toBe(path);
  });

  test('one that is too long is refused, and the next request is served', async () => {
    const { origin } = await startEcho();
    expect((await ask(`${origin}/${'x'.repeat(70_000)}`)).status).toBe(431);
    expect((await ask(`${origin}/x`)).status).toBe(200);
  });

  test('one with bytes that no URL has is refused', async () => {
    const { port } = await startEcho();
    expect(await askRaw(port, 'GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 400 /,
    );
  });
});

describe('connections', () => {
  test('are kept alive for the client, and fresh for whisper, which may close one at any moment', async () => {
    const upstreamPorts = new Set<number | undefined>();
    const { address } = await startUpstream((request, response) => {
      upstreamPorts.add(request.socket.remotePort);
      response.end('ok');
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const clientPorts = new Set<number | undefined>();
    agent.on('free', (socket) => clientPorts.add(socket.localPort));
    for (let count = 0; count < 3; count += 1) await ask(origin, { agent });
    agent.destroy();
    expect({ client: clientPorts.size, upstream: upstreamPorts.size }).toEqual({
      client: 1,
      upstream: 3,
    });
  });

  test('of HTTP/1.0 end with their answer, which is not chunked', async () => {
    const { address } = await startUpstream((_request, response) => {
      response.write('one ');
      response.end('two');
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const answer = await askRaw(port, 'GET / HTTP/1.0\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\n\r\none two$/);
    expect(answer.toLowerCase()).not.toContain('transfer-encoding');
  });

  test('carry requests that are sent together, and are answered in order', async () => {
    const { address } = await startUpstream((request, response) => {
      setTimeout(() => response.end(`[${request.url}]`), request.url === '/1' ? 50 : 0);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const socket = open(port);
    for (const path of ['/1', '/2', '/3']) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    expect(await readUntil(socket, '[/3]')).toMatch(/\[\/1\][\s\S]*\[\/2\][\s\S]*\[\/3\]/);
  });

  test('reach whisper on a unix socket', async () => {
    const path = `/tmp/whisper-proxy-${process.pid}-requests.sock`;
    await startUpstream((request, response) => response.end(request.headers.host), path);
    const { origin } = await startIngress({ UPSTREAM: `unix:${path}` });
    const { body } = await ask(origin, { headers: { host: 'whisper:7860' } });
    expect(String(body)).toBe('whisper:7860');
  });
});
