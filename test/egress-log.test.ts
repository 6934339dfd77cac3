import { describe, expect, test } from 'vitest';
import { startAnswering, startTarget } from './helpers/origin.ts';
import { startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const ID = expect.stringMatching(/^[0-9a-f]{12}$/);

describe('the log of a connection', () => {
  test('has exactly these fields for an allow and its end', async () => {
    const target = await startTarget((socket) => socket.end());
    const proxy = await startProxy(
      { EGRESS_ALLOW_MODELS: `*.models.test:${target.port} 127.0.0.1:${target.port}` },
      { 'cdn.models.test': ['127.0.0.1'] },
    );
    const client = await openTunnel(proxy.port, `cdn.models.test:${target.port}`);
    client.socket.end();
    const [end] = await proxy.ends(1);
    const [allow] = proxy.decisions();
    expect(allow).toEqual({
      level: 'info',
      time: TIME,
      event: 'egress',
      decision: 'allow',
      reason: null,
      rule: `MODELS *.models.test:${target.port}`,
      via: 'connect',
      method: 'CONNECT',
      host: 'cdn.models.test',
      port: target.port,
      address: '127.0.0.1',
      client: '127.0.0.1',
      id: ID,
      config: expect.stringMatching(/^[0-9a-f]{8}$/),
    });
    expect(end).toEqual({
      level: 'info',
      time: TIME,
      event: 'egress_end',
      id: allow?.id,
      via: 'connect',
      client: '127.0.0.1',
      host: 'cdn.models.test',
      port: target.port,
      bytes_out: 0,
      bytes_in: 0,
      duration_ms: expect.any(Number),
    });
  });

  test('has exactly these fields for a deny', async () => {
    const proxy = await startProxy();
    await ask(proxy.port, 'GET http://Evil.test/?secret HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(proxy.decisions()).toEqual([
      {
        level: 'warn',
        time: TIME,
        event: 'egress',
        decision: 'deny',
        reason: 'not_allowed',
        rule: null,
        via: 'http',
        method: 'GET',
        host: 'evil.test',
        port: 80,
        address: null,
        client: '127.0.0.1',
        id: ID,
        config: expect.stringMatching(/^[0-9a-f]{8}$/),
      },
    ]);
  });

  test('is written before the client sees the answer', async () => {
    const target = await startAnswering('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const proxy = await startProxyTo(target.port);
    const requests = [
      connectTo('evil.test:443'),
      connectTo('nonsense'),
      connectTo(`origin.test:${target.port}`),
      `GET http://127.0.0.1:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`,
    ];
    for (const [index, request] of requests.entries()) {
      const client = await RawClient.connect(proxy.port);
      const lines = new Promise<number>((resolve) => {
        client.socket.once('data', () => resolve(proxy.decisions().length));
      });
      client.send(request);
      expect(await lines).toBe(index + 1);
    }
  });
});

describe('a line of the log cannot be forged or made huge', () => {
  const long = 'a'.repeat(60_000);

  test.each([
    ['a host of 60 KB', connectTo(`${long}.test:443`), /^a{255}\.\.\.$/],
    ['a target of 60 KB', `GET http://e.test/${long}# HTTP/1.1\r\nHost: a\r\n\r\n`, /\.\.\.$/],
    ['quotes', connectTo('a","decision":"allow":443'), /^a","decision":"allow":443$/],
    ['an escape', connectTo('a\x1b[2Jb:443'), /\\x1b\[2Jb/],
    ['bytes above ASCII', connectTo('\xc3\xa4\xff:443'), /^\\xc3\\xa4\\xff/],
    ['a NUL', connectTo('a\0b:443'), /a\\x00b/],
    ['a long method', `${long.toUpperCase()} / HTTP/1.1\r\n\r\n`, /^.{0,258}$/],
    ['a header of 80 KB', `GET http://e.test/ HTTP/1.1\r\nX: ${long + long}\r\n\r\n`, /^.{0,258}$/],
  ])('by %s', async (_, request, host) => {
    const proxy = await startProxy();
    const { status } = await ask(proxy.port, request);
    expect(status).toBe(400);
    expect(proxy.texts).toHaveLength(1);
    const [text = ''] = proxy.texts;
    expect(text).toMatch(/^[\x20-\x7e]{1,1000}\n$/);
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason: 'bad_target' }]);
    expect(proxy.decisions()[0]?.host).toMatch(host);
  });
});
