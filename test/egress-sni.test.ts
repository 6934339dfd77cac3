import { describe, expect, test } from 'vitest';
import { clientHello } from './helpers/client-hello.ts';
import { connectionOf, startTarget } from './helpers/origin.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';
import { isReserved } from './helpers/tools.ts';

const HOST = '127.0.44.1';
const ENV = { EGRESS_ALLOW: `origin.test ${HOST}:443 origin.test:8443 ${HOST}:8443` };
const NAMES = { 'origin.test': [HOST] };
const HELLO = clientHello({ names: ['origin.test'] });
const UNRECOGNIZED_NAME = '\x15\x03\x03\0\x02\x02\x70';

describe.skipIf(isReserved(443))('a tunnel to port 443 of a name (needs port 443)', () => {
  const startOrigin = () => startTarget((socket) => socket.pipe(socket), HOST, 443);
  const start = (env = {}) => startProxy({ ...ENV, ...env }, NAMES);

  test.each([
    ['at once', [HELLO]],
    ['byte by byte', [...HELLO]],
    ['in another case, and with a final dot', [clientHello({ names: ['ORIGIN.Test.'] })]],
    ['with more behind it', [`${HELLO}early data`]],
  ])('that begins with its name goes through byte for byte: %s', async (_, parts) => {
    const origin = await startOrigin();
    const proxy = await start();
    const client = await openTunnel(proxy.port, 'origin.test:443');
    for (const part of parts) {
      client.send(part);
      if (parts.length > 1) await new Promise(setImmediate);
    }
    await client.until(parts.join(''));
    client.send(' and on');
    await client.until(`${parts.join('')} and on`);
    expect(origin.received).toEqual([`${parts.join('')} and on`]);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
  });

  test('a hello that comes together with the CONNECT is looked at too', async () => {
    const origin = await startOrigin();
    const proxy = await start();
    const good = await RawClient.connect(proxy.port);
    await good.send(`${connectTo('origin.test:443')}${HELLO}`).until(HELLO);
    const bad = await RawClient.connect(proxy.port);
    bad.send(`${connectTo('origin.test:443')}${clientHello({ names: ['evil.test'] })}`);
    await bad.untilEnded();
    expect(origin.received).toEqual([HELLO, '']);
  });

  test.each([
    ['another name', ['evil.test'], 'sni_mismatch', 'evil.test'],
    ['a name below it', ['a.origin.test'], 'sni_mismatch', 'a.origin.test'],
    ['two names', ['origin.test', 'evil.test'], 'sni_mismatch', 'origin.test evil.test'],
    ['its name twice', ['origin.test', 'origin.test'], 'sni_mismatch', 'origin.test origin.test'],
    ['its address', [HOST], 'sni_mismatch', HOST],
    ['a name that forges a line', ['a\n{"x":1}'], 'sni_mismatch', String.raw`a\x0a{"x":1}`],
    ['a name with a NUL', ['origin.test\0'], 'sni_mismatch', String.raw`origin.test\x00`],
    ['no name', [], 'no_sni', undefined],
  ])(
    'that begins with %s ends with an alert, and no byte gets there',
    async (_, names, reason, sni) => {
      const origin = await startOrigin();
      const proxy = await start();
      const client = await openTunnel(proxy.port, 'origin.test:443');
      client.send(clientHello({ names }));
      await client.until(UNRECOGNIZED_NAME);
      expect(await client.untilEnded()).toBe('end');
      const [end] = await proxy.ends(1);
      expect(end).toMatchObject({ bytes_out: 0, error: reason });
      expect(proxy.decisions()).toMatchObject([
        { decision: 'allow', id: end?.id },
        { decision: 'deny', reason, via: 'connect', host: 'origin.test', id: end?.id },
      ]);
      expect(proxy.decisions()[1]?.sni).toBe(sni);
      await soon(() => expect(origin.sockets[0]?.destroyed).toBe(true));
      expect(origin.received).toEqual(['']);
    },
  );

  test.each([
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'not_tls'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n', 'not_tls'],
    ['a hello of SSLv2', '\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10', 'not_tls'],
    ['a hello whose lengths lie', HELLO.replace('\0\x0borigin', '\0\x0corigin'), 'malformed_hello'],
    ['a hello that is too long', '\x16\x03\x01\x40\0\x01\xff\xff\xff', 'hello_too_long'],
  ])('that begins with %s is reset, and no byte gets there', async (_, text, error) => {
    const origin = await startOrigin();
    const proxy = await start();
    const client = await openTunnel(proxy.port, 'origin.test:443');
    client.send(text);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 0, error: 'no_sni' }]);
    expect(proxy.decisions()[1]).toMatchObject({ decision: 'deny', reason: 'no_sni', error });
    expect(origin.received).toEqual(['']);
  });

  test('what the target says first is not heard before the hello', async () => {
    const origin = await startTarget((socket) => socket.write('SSH-2.0-server\r\n'), HOST, 443);
    const proxy = await start();
    const client = await openTunnel(proxy.port, 'origin.test:443');
    await connectionOf(origin);
    client.send('SSH-2.0-client\r\n');
    await client.untilEnded();
    expect(client.received).toBe('');
  });

  test.each([
    ['nothing', ''],
    ['half a hello', HELLO.slice(0, 40)],
  ])('that begins with %s is given EGRESS_CONNECT_TIMEOUT', async (_, text) => {
    await startOrigin();
    const proxy = await start({ EGRESS_CONNECT_TIMEOUT: '100ms' });
    const client = await openTunnel(proxy.port, 'origin.test:443');
    client.send(text);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'no_sni', error: 'hello_timeout' });
    expect(await proxy.ends(1)).toHaveLength(1);
  });

  test('that ends before a word is no denial', async () => {
    const origin = await startOrigin();
    const proxy = await start();
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const client = await openTunnel(proxy.port, 'origin.test:443');
      client.socket[end]();
      await soon(() => expect(client.socket.destroyed).toBe(true));
    }
    await soon(() => expect(origin.sockets.every((socket) => socket.destroyed)).toBe(true));
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 0, error: 'ECANCELED' }]);
  });

  test('that ends in the middle of the hello is one', async () => {
    await startOrigin();
    const proxy = await start();
    const client = await openTunnel(proxy.port, 'origin.test:443');
    client.send(HELLO.slice(0, 40)).socket.end();
    await client.untilEnded();
    await soon(() =>
      expect(proxy.decisions()[1]).toMatchObject({ reason: 'no_sni', error: 'hello_cut_off' }),
    );
  });

  test('with Encrypted Client Hello: the outer name counts, and its use is logged', async () => {
    await startOrigin();
    const proxy = await start();
    const hello = clientHello({ names: ['origin.test'], ech: true });
    const client = await openTunnel(proxy.port, 'origin.test:443');
    await client.send(hello).until(hello);
    client.socket.end();
    expect(await proxy.ends(1)).toMatchObject([{ ech: true }]);
  });

  test('its slot is free again after a refusal', async () => {
    await startOrigin();
    const proxy = await start({ EGRESS_MAX_CONNECTIONS: '1' });
    for (const _ of [1, 2, 3]) {
      const client = await soon(() => openTunnel(proxy.port, 'origin.test:443'));
      client.send('no TLS');
      await client.untilEnded();
    }
  });

  test('the hello counts as an upload', async () => {
    const origin = await startOrigin();
    const proxy = await start({ EGRESS_MAX_UPLOAD: `${HELLO.length}B` });
    const client = await openTunnel(proxy.port, 'origin.test:443');
    await client.send(HELLO).until(HELLO);
    client.send('x');
    await client.untilEnded();
    expect(origin.received).toEqual([HELLO]);
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'upload_limit' });
  });

  test.each([
    ['an address', `${HOST}:443`, {}],
    ['a name, with EGRESS_REQUIRE_SNI=false', 'origin.test:443', { EGRESS_REQUIRE_SNI: 'false' }],
  ])('may begin with anything where the target is %s', async (_, target, env) => {
    await startOrigin();
    const proxy = await start(env);
    const client = await openTunnel(proxy.port, target);
    await client.send('anything').until('anything');
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
  });

  test('is held to its name in report mode too', async () => {
    const origin = await startOrigin();
    const env = { EGRESS_ALLOW: `${HOST}:443`, EGRESS_MODE: 'report' };
    const proxy = await startProxy(env, NAMES);
    const client = await openTunnel(proxy.port, 'origin.test:443');
    client.send('SSH-2.0-client\r\n');
    await client.untilEnded();
    expect(origin.received).toEqual(['']);
    expect(proxy.decisions()).toMatchObject([
      { decision: 'would_deny' },
      { decision: 'deny', reason: 'no_sni' },
    ]);
  });

  test('each server name that a tunnel is used for is in the log, not only the first', async () => {
    await startTarget(() => undefined, HOST, 443);
    const proxy = await startProxy(ENV, NAMES);
    for (const name of ['evil1.test', 'evil2.test', 'evil1.test']) {
      const client = await openTunnel(proxy.port, 'origin.test:443');
      client.send(clientHello({ names: [name] }));
      await client.until(UNRECOGNIZED_NAME);
    }
    await proxy.stop();
    const lines = proxy.decisions().filter(({ reason }) => reason === 'sni_mismatch');
    expect(lines.map(({ sni, repeated }) => `${sni} ${repeated ?? '-'}`)).toEqual([
      'evil1.test -',
      'evil2.test -',
      'evil1.test 1',
    ]);
  });
});

test('a tunnel to another port may begin with anything', async () => {
  const origin = await startTarget((socket) => socket.pipe(socket));
  const allow = { EGRESS_ALLOW: `origin.test:${origin.port} 127.0.0.1:${origin.port}` };
  const proxy = await startProxy(allow, { 'origin.test': ['127.0.0.1'] });
  const client = await openTunnel(proxy.port, `origin.test:${origin.port}`);
  await client.send('anything').until('anything');
});
