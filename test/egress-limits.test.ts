import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { startServer, startTarget } from './helpers/origin.ts';
import { startBlackHole } from './helpers/origin-black-hole.ts';
import { soon, startProxy, startProxyTo, type TestProxy } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const ONE = { EGRESS_MAX_CONNECTIONS: '1' };

describe('EGRESS_CONNECT_TIMEOUT', () => {
  const short = { EGRESS_CONNECT_TIMEOUT: '50ms' };

  test('bounds a look-up that never ends: 504', async () => {
    const never = () => new Promise<string[]>(() => undefined);
    const proxy = await startProxyTo(443, short, { 'origin.test': never });
    const answer = await ask(proxy.port, connectTo('origin.test:443'));
    expect(answer.status).toBe(504);
    expect(answer.headers.get('proxy-status')).toContain('error=dns_timeout');
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'dns_error', error: 'ETIMEDOUT', address: null },
    ]);
  });

  test.skipIf(process.platform !== 'linux')(
    'bounds a dial that never ends: 504 (Linux: a full backlog)',
    async () => {
      const port = await startBlackHole();
      const proxy = await startProxyTo(port, short);
      const answer = await ask(proxy.port, connectTo(`origin.test:${port}`));
      expect(answer.status).toBe(504);
      expect(answer.headers.get('proxy-status')).toContain('error=connection_timeout');
      expect(proxy.decisions()).toMatchObject([
        { decision: 'deny', reason: 'connect_failed', error: 'ETIMEDOUT' },
      ]);
    },
  );

  test('has nothing to do with how long a tunnel lasts', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const proxy = await startProxyTo(target.port, { EGRESS_CONNECT_TIMEOUT: '300ms' });
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await new Promise((resolve) => setTimeout(resolve, 350));
    client.send('still there');
    await client.until('still there');
  });
});

describe('strangers', () => {
  test.skipIf(process.platform !== 'linux').each(['EGRESS_LISTEN', 'EGRESS_HTTP_LISTEN'])(
    'cannot take the connections of %s away from a client, however silent they are',
    async (variable) => {
      const proxy = await startProxy({
        ...{ [variable]: '127.0.0.1:0', EGRESS_CLIENTS: '127.0.0.2', EGRESS_MAX_CONNECTIONS: '1' },
      });
      const port = variable === 'EGRESS_LISTEN' ? proxy.port : proxy.ports.http;
      const strangers = Array.from({ length: 300 }, () => connect({ port, host: '127.0.0.1' }));
      for (const socket of strangers) {
        socket.on('error', () => undefined).resume();
        cleanUp(() => socket.destroy());
      }
      await soon(() => expect(strangers.filter(({ closed }) => closed).length).toBe(300 - 16));
      const client = await RawClient.connect(port, '127.0.0.1', '127.0.0.2');
      expect((await client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n').answer()).status).not.toBe(
        503,
      );
      expect(proxy.decisions()[0]).toMatchObject({ reason: 'client_not_allowed', host: null });
    },
  );
});

describe('EGRESS_IDLE_TIMEOUT', () => {
  const short = { EGRESS_IDLE_TIMEOUT: '100ms' };

  test('ends pipelined requests all at once, not each after the one before', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, { EGRESS_IDLE_TIMEOUT: '1s' });
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(8));
    await soon(() => expect(target.sockets).toHaveLength(8));
    await soon(() => expect(target.sockets.every(({ readableEnded }) => readableEnded)).toBe(true));
  });

  test('ends a tunnel in which nothing moves', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, short);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('one byte');
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 8, error: 'idle_timeout' }]);
  });

  test('ends a tunnel whose client does not read', async () => {
    const target = await startServer((socket) => socket.write(Buffer.alloc(32 * 1024 * 1024)));
    const proxy = await startProxyTo(target.port, short);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.socket.pause();
    expect(await proxy.ends(1)).toMatchObject([{ error: 'idle_timeout' }]);
  });

  test('answers 504 for a plain request that stays without an answer', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, short);
    const url = `http://origin.test:${target.port}/`;
    const answer = await ask(proxy.port, `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(answer.status).toBe(504);
    expect(answer.headers.get('proxy-status')).toContain('error=http_response_timeout');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'idle_timeout' }]);
  });

  test('ends an upload that does not go on', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, short);
    const url = `http://origin.test:${target.port}/`;
    const client = await RawClient.connect(proxy.port);
    client.send(`POST ${url} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome`);
    expect((await client.answer()).status).toBe(504);
    expect(await client.untilEnded()).toBe('end');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'idle_timeout' }]);
  });

  test('leaves alone what moves in one direction only', async () => {
    const target = await startTarget((socket) => {
      const timer = setInterval(() => socket.write('.'), 20);
      socket.once('close', () => clearInterval(timer));
    });
    const proxy = await startProxyTo(target.port, { EGRESS_IDLE_TIMEOUT: '500ms' });
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await client.until('.'.repeat(35));
    expect(client.ended).toBeNull();
  });
});

describe('EGRESS_MAX_CONNECTIONS', () => {
  test('refuses what is too much with 503, and says when to come back', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, ONE);
    await openTunnel(proxy.port, `127.0.0.1:${target.port}`);
    const answer = await ask(proxy.port, connectTo(`origin.test:${target.port}`));
    expect(answer.status).toBe(503);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('too_many_connections');
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(proxy.decisions().at(-1)).toMatchObject({
      decision: 'deny',
      reason: 'too_many_connections',
      host: 'origin.test',
    });
    expect(proxy.lookups).toEqual([]);
  });

  test('counts attempts that are not connected yet', async () => {
    const never = () => new Promise<string[]>(() => undefined);
    const proxy = await startProxyTo(443, ONE, { 'origin.test': never });
    const waiting = await RawClient.connect(proxy.port);
    waiting.send(connectTo('origin.test:443'));
    await soon(() => expect(proxy.lookups).toHaveLength(1));
    expect((await ask(proxy.port, connectTo('origin.test:443'))).status).toBe(503);
  });

  test('drops a flood of connections, and logs that too', async () => {
    const proxy = await startProxy(ONE);
    const sockets = Array.from({ length: 80 }, () => {
      const socket = connect(proxy.port, '127.0.0.1').on('error', () => undefined);
      cleanUp(() => socket.destroy());
      return socket;
    });
    await soon(() => expect(sockets.some((socket) => socket.closed)).toBe(true));
    await soon(() =>
      expect(proxy.decisions()).toMatchObject([
        { reason: 'too_many_connections', client: '127.0.0.1', host: null, port: null },
      ]),
    );
    expect(proxy.decisions()[0]?.id).toMatch(/^[0-9a-f]{12}$/);
  });
});

describe('a slot is given back', () => {
  const noAnswer = (socket: { end: () => void }) => socket.end();
  const NAMED = ['origin.test', 'nowhere.test', 'private.test', '*.idn.test'];

  test.each<[how: string, use: (proxy: TestProxy, port: number) => Promise<unknown>]>([
    ['a tunnel that ends', (proxy, port) => endTunnel(proxy, port, (it) => it.socket.end())],
    [
      'a tunnel that the client breaks',
      (proxy, port) => endTunnel(proxy, port, (it) => it.socket.resetAndDestroy()),
    ],
    [
      'a refused connection',
      async (proxy) => ask(proxy.port, connectTo(`127.0.0.1:${await freePort()}`)),
    ],
    ['a name that is not found', (proxy) => ask(proxy.port, connectTo('nowhere.test:443'))],
    ['a denied address', (proxy) => ask(proxy.port, connectTo('private.test:443'))],
    [
      'a plain request that gets no answer',
      (proxy, port) =>
        ask(proxy.port, `GET http://origin.test:${port}/ HTTP/1.1\r\nHost: a\r\n\r\n`),
    ],
    [
      'a host name that no URL parser takes',
      (proxy, port) =>
        ask(proxy.port, `GET http://xn--a.idn.test:${port}/ HTTP/1.1\r\nHost: a\r\n\r\n`),
    ],
  ])('after %s', async (_, use) => {
    const target = await startTarget(noAnswer);
    const proxy = await startProxyTo(
      target.port,
      {
        ...ONE,
        EGRESS_ALLOW: `${NAMED.map((name) => `${name}:*`).join(' ')} 127.0.0.1:*`,
      },
      { 'private.test': ['10.1.2.3'], 'xn--a.idn.test': ['127.0.0.1'] },
    );
    for (let time = 0; time < 3; time += 1) await use(proxy, target.port);
    await soon(async () => {
      const { status } = await ask(proxy.port, connectTo(`127.0.0.1:${target.port}`));
      expect(status).toBe(200);
    });
    expect(proxy.decisions().map(({ reason }) => reason)).not.toContain('bad_target');
  });
});

async function endTunnel(
  proxy: TestProxy,
  port: number,
  end: (client: RawClient) => void,
): Promise<void> {
  await soon(async () => end(await openTunnel(proxy.port, `127.0.0.1:${port}`)));
}
