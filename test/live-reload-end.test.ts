import { describe, expect, test } from 'vitest';
import { clientHello } from './helpers/client-hello.ts';
import { connectionOf, startTarget } from './helpers/origin.ts';
import { soon, startProxy, type TestProxy } from './helpers/proxy.ts';
import { connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';
import { isReserved } from './helpers/tools.ts';

const HOST = '127.0.44.5';
const HELLO = clientHello({ names: ['origin.test'] });

async function start(port: number, env: Record<string, string> = {}): Promise<TestProxy> {
  const allow = `origin.test:${port} ${HOST}:${port} b.test:${port}`;
  return startProxy(
    { EGRESS_TLS_LISTEN: '127.0.0.1:0', EGRESS_ALLOW: allow, ...env },
    { 'origin.test': [HOST], 'b.test': [HOST] },
  );
}

/** Two reloads, by which the rules deny origin.test. */
function denyTwice(proxy: TestProxy, port: number): void {
  const env = { EGRESS_ON_RELOAD: 'end', EGRESS_DENY_BAD: 'origin.test' };
  proxy.reload({ ...env, EGRESS_ALLOW: `${HOST}:${port}` });
  proxy.reload({ ...env, EGRESS_ALLOW: `${HOST}:${port} c.test` });
}

/** One allow, one deny, one end, all with one id, and all told of one connection. */
async function expectOneDenial(proxy: TestProxy): Promise<void> {
  const [end] = await proxy.ends(1);
  expect(end).toMatchObject({ error: 'deny_rule' });
  expect(proxy.decisions()).toMatchObject([
    { decision: 'allow', id: end?.id },
    { decision: 'deny', reason: 'deny_rule', rule: 'BAD origin.test', id: end?.id },
  ]);
  expect(proxy.events('reload')).toMatchObject([
    { open_denied_now: 1, open_ended: 1 },
    { open_denied_now: 0, open_ended: 0 },
  ]);
}

describe('a connection that the rules deny since a reload ends, with EGRESS_ON_RELOAD=end', () => {
  const get = (port: number, path = '') =>
    `GET http://origin.test:${port}/${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

  describe.skipIf(isReserved(443))('on port 443 (needs it)', () => {
    test('while a tunnel waits for its ClientHello', async () => {
      const target = await startTarget(undefined, HOST, 443);
      const proxy = await start(443);
      const client = await openTunnel(proxy.port, 'origin.test:443');
      client.send(HELLO.slice(0, 40));
      await connectionOf(target);
      denyTwice(proxy, 443);
      expect(await client.untilEnded()).toBe('ECONNRESET');
      await expectOneDenial(proxy);
      expect(target.received).toEqual(['']);
    });

    test('in a TLS tunnel of a program that knows of no proxy', async () => {
      await startTarget((socket) => socket.pipe(socket), HOST, 443);
      const proxy = await start(443);
      const client = await RawClient.connect(proxy.ports.tls);
      await client.send(HELLO).until(HELLO);
      denyTwice(proxy, 443);
      expect(await client.untilEnded()).toBe('ECONNRESET');
      await expectOneDenial(proxy);
    });
  });

  test('in a tunnel', async () => {
    const target = await startTarget((socket) => socket.pipe(socket), HOST);
    const proxy = await start(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await client.send('there').until('there');
    denyTwice(proxy, target.port);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    await expectOneDenial(proxy);
  });

  test('in a tunnel whose target has closed its half', async () => {
    const target = await startTarget((socket) => socket.end('bye'), HOST);
    const proxy = await start(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await client.until('bye');
    expect(await client.untilEnded()).toBe('end');
    denyTwice(proxy, target.port);
    await expectOneDenial(proxy);
    client.send('more');
    await soon(() => expect(client.socket.closed).toBe(true));
  });

  test.each([
    ['that waits for its answer', get],
    [
      'that has not said everything',
      (port: number) =>
        get(port).replace('GET', 'POST').replace(/\r\n$/, 'Content-Length: 9\r\n\r\nhalf'),
    ],
    [
      'whose client waits for a 100',
      (port: number) =>
        get(port)
          .replace('GET', 'POST')
          .replace(/\r\n$/, 'Content-Length: 9\r\nExpect: 100-continue\r\n\r\n'),
    ],
  ])('in a request %s, which gets the denial', async (_, request) => {
    const target = await startTarget(undefined, HOST);
    const proxy = await start(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(request(target.port));
    await connectionOf(target);
    await soon(() => expect(proxy.decisions()).toHaveLength(1));
    denyTwice(proxy, target.port);
    await client.until('\r\n\r\nwhisper-proxy: ');
    const text = client.received.replace('HTTP/1.1 100 Continue\r\n\r\n', '');
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
    expect(text).toContain('\r\nX-Whisper-Proxy-Reason: deny_rule\r\n');
    expect(text).toContain('the rule "BAD origin.test"');
    await expectOneDenial(proxy);
    // Which of the two, depends on what it has not read yet.
    const [socket] = target.sockets;
    await soon(() => expect(socket?.closed || socket?.readableEnded).toBe(true));
  });

  test.each([
    ['a length', 'Content-Length: 9\r\n\r\nbegin'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n'],
    ['the end of the connection', '\r\nbegin'],
  ])('in an answer that has begun, framed by %s: it is cut off', async (_, rest) => {
    const target = await startTarget((socket) => socket.write(`HTTP/1.1 200 OK\r\n${rest}`), HOST);
    const proxy = await start(target.port);
    const client = await RawClient.connect(proxy.port);
    await client.send(get(target.port)).until('begin');
    denyTwice(proxy, target.port);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(client.received).not.toContain('403');
    await expectOneDenial(proxy);
  });

  test('in a request behind another that goes on: each gets its own answer', async () => {
    const target = await startTarget(undefined, HOST);
    const proxy = await start(target.port);
    const client = await RawClient.connect(proxy.port);
    const kept = get(target.port).replace('origin.test', 'b.test');
    client.send(kept);
    const first = await connectionOf(target);
    client.send(get(target.port));
    await soon(() => expect(target.received[1]).toContain('origin.test'));
    const env = {
      EGRESS_ON_RELOAD: 'end',
      EGRESS_ALLOW: `b.test:${target.port} ${HOST}:${target.port}`,
    };
    proxy.reload(env);
    first.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('whisper-proxy: ');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*\r\nokHTTP\/1\.1 403 /);
    expect(client.received).toContain('X-Whisper-Proxy-Reason: not_allowed\r\n');
  });

  test('while its name is looked up, it is denied once, and not dialled', async () => {
    const target = await startTarget(undefined, HOST);
    let answer: (addresses: string[]) => void = () => undefined;
    const slow = () =>
      new Promise<string[]>((resolve) => {
        answer = resolve;
      });
    const allow = { EGRESS_ALLOW: `origin.test:${target.port} ${HOST}:${target.port}` };
    const proxy = await startProxy(allow, { 'origin.test': slow });
    const client = await RawClient.connect(proxy.port);
    client.send(connectTo(`origin.test:${target.port}`));
    await soon(() => expect(proxy.lookups).toHaveLength(1));
    denyTwice(proxy, target.port);
    answer([HOST]);
    expect((await client.answer()).status).toBe(403);
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason: 'deny_rule' }]);
    expect(target.sockets).toHaveLength(0);
  });

  test('also when it was ended for too much upload, and is only told once', async () => {
    const target = await startTarget(undefined, HOST);
    const proxy = await start(target.port, { EGRESS_MAX_UPLOAD: '300B' });
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('x'.repeat(400));
    await client.untilEnded();
    denyTwice(proxy, target.port);
    await proxy.ends(1);
    expect(proxy.decisions().map(({ reason }) => reason)).toEqual([null, 'upload_limit']);
  });
});
