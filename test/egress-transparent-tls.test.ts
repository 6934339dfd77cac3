import { describe, expect, test } from 'vitest';
import { clientHello } from './helpers/client-hello.ts';
import { startTarget } from './helpers/origin.ts';
import { soon, startProxy, type TestProxy } from './helpers/proxy.ts';
import { connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';
import { isReserved } from './helpers/tools.ts';

const HOST = '127.0.44.2';
const NAMES = {
  'origin.test': [HOST],
  'private.test': ['10.1.2.3'],
  'down.test': ['127.0.0.7'],
  'mixed.test': [HOST, '10.1.2.3'],
};
const HELLO = clientHello({ names: ['origin.test'] });

const alert = (description: number) => `\x15\x03\x03\0\x02\x02${String.fromCharCode(description)}`;
const ACCESS_DENIED = alert(49);
const UNRECOGNIZED_NAME = alert(112);

function start(env: Record<string, string> = {}): Promise<TestProxy> {
  const allow = {
    EGRESS_ALLOW: `origin.test gone.test down.test private.test ${HOST}:443 127.0.0.7:443`,
  };
  return startProxy({ EGRESS_TLS_LISTEN: '127.0.0.1:0', ...allow, ...env }, NAMES);
}

/** Sends bytes to the TLS listener. */
async function send(proxy: TestProxy, text: string): Promise<RawClient> {
  return (await RawClient.connect(proxy.ports.tls)).send(text);
}

describe.skipIf(isReserved(443))('an allowed server (needs port 443)', () => {
  const startOrigin = () => startTarget((socket) => socket.pipe(socket), HOST, 443);

  test.each([
    ['at once', [HELLO]],
    ['byte by byte', [...HELLO]],
    ['with more behind it', [`${HELLO}early data`]],
  ])('is reached by its name, and gets the hello byte for byte: %s', async (_, parts) => {
    const origin = await startOrigin();
    const proxy = await start();
    const client = await RawClient.connect(proxy.ports.tls);
    for (const part of parts) {
      client.send(part);
      if (parts.length > 1) await new Promise(setImmediate);
    }
    await client.until(parts.join(''));
    client.socket.end(' bye');
    expect(await client.untilEnded()).toBe('end');
    expect(origin.received).toEqual([`${parts.join('')} bye`]);
    const [end] = await proxy.ends(1);
    const sent = origin.received[0]?.length;
    expect(end).toMatchObject({ via: 'tls', bytes_out: sent, bytes_in: sent });
    expect(proxy.decisions()).toEqual([
      expect.objectContaining({
        ...{ decision: 'allow', rule: 'origin.test', via: 'tls', method: null },
        ...{ host: 'origin.test', port: 443, address: HOST, client: '127.0.0.1', id: end?.id },
      }),
    ]);
    expect(proxy.lookups).toEqual(['origin.test']);
  });

  test('with Encrypted Client Hello: the outer name counts, and its use is logged', async () => {
    await startOrigin();
    const proxy = await start();
    const hello = clientHello({ names: ['origin.test'], ech: true });
    const client = await send(proxy, hello);
    await client.until(hello);
    client.socket.end();
    expect(await proxy.ends(1)).toMatchObject([{ ech: true }]);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow', ech: true }]);
  });

  test('that sends more than it may is cut off', async () => {
    const origin = await startOrigin();
    const proxy = await start({ EGRESS_MAX_UPLOAD: `${HELLO.length}B` });
    const client = await send(proxy, HELLO);
    await client.until(HELLO);
    client.send('x');
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(origin.received).toEqual([HELLO]);
    const counts = { bytes_out: HELLO.length, bytes_in: HELLO.length };
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'upload_limit', via: 'tls', ...counts });
  });

  test('shares EGRESS_MAX_CONNECTIONS with the tunnels', async () => {
    await startOrigin();
    const proxy = await start({ EGRESS_MAX_CONNECTIONS: '1' });
    const tunnel = await openTunnel(proxy.port, `${HOST}:443`);
    const client = await send(proxy, HELLO);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'too_many_connections', via: 'tls' });
    tunnel.socket.destroy();
    await proxy.ends(1);
    await (await send(proxy, HELLO)).until(HELLO);
  });
});

describe('a refusal', () => {
  test.each<[string, string[], string, Record<string, unknown>]>([
    [
      'a name that no rule covers',
      ['evil.test'],
      ACCESS_DENIED,
      { reason: 'not_allowed', host: 'evil.test', port: 443 },
    ],
    [
      'a name under a deny rule',
      ['bad.test'],
      ACCESS_DENIED,
      { reason: 'deny_rule', rule: 'bad.test' },
    ],
    [
      'a name with a private address',
      ['private.test'],
      ACCESS_DENIED,
      { reason: 'non_public_address', address: '10.1.2.3' },
    ],
    ['an address', [HOST], UNRECOGNIZED_NAME, { reason: 'bad_target', host: HOST, port: null }],
    [
      'two names',
      ['origin.test', 'evil.test'],
      UNRECOGNIZED_NAME,
      { reason: 'bad_target', host: 'origin.test evil.test' },
    ],
    [
      'a name with a line break',
      ['a\nb'],
      UNRECOGNIZED_NAME,
      { reason: 'bad_target', host: String.raw`a\x0ab` },
    ],
    ['no name', [], UNRECOGNIZED_NAME, { reason: 'no_sni', host: null, port: null }],
  ])('of %s is an alert', async (_, names, answer, fields) => {
    const proxy = await start({ EGRESS_DENY: 'bad.test' });
    const client = await send(proxy, clientHello({ names }));
    await client.until(answer);
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toBe(answer);
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', via: 'tls', ...fields }]);
  });

  test.each([
    [
      'HTTP',
      'GET /secret HTTP/1.1\r\n',
      { error: 'not_tls', host: String.raw`GET /secret HTTP/1.1\x0d\x0a` },
    ],
    ['CONNECT', connectTo('origin.test:443'), { error: 'not_tls' }],
    ['SSH', 'SSH-2.0-OpenSSH\r\n', { error: 'not_tls' }],
    [
      'a hello that lies',
      HELLO.replace('\0\x0borigin', '\0\x0corigin'),
      { error: 'malformed_hello', host: null },
    ],
    [
      'half a hello and the end',
      '\x16\x03\x01\x02\0\x01\0',
      { error: 'hello_cut_off', host: null },
    ],
  ])('of what is no ClientHello, such as %s, is a reset', async (_, text, fields) => {
    const proxy = await start();
    const client = await send(proxy, text);
    if (fields.error === 'hello_cut_off') client.socket.end();
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(client.received).toBe('');
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason: 'no_sni', ...fields }]);
  });

  test.each([
    ['be looked up', 'gone.test', { reason: 'dns_error', error: 'ENOTFOUND' }],
    ['be reached', 'down.test', { reason: 'connect_failed', error: 'ECONNREFUSED' }],
  ])('of a name that cannot %s is a reset, as without a proxy', async (_, name, fields) => {
    const proxy = await start();
    const client = await send(proxy, clientHello({ names: [name] }));
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(client.received).toBe('');
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', via: 'tls', ...fields }]);
  });

  test('of a client that says nothing comes after EGRESS_CONNECT_TIMEOUT', async () => {
    const proxy = await start({ EGRESS_CONNECT_TIMEOUT: '100ms' });
    const client = await send(proxy, '');
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(proxy.decisions()).toMatchObject([{ reason: 'no_sni', error: 'hello_timeout' }]);
  });

  test('of a stranger does not wait for what it says', async () => {
    const proxy = await start({ EGRESS_CLIENTS: '127.0.0.9' });
    // Perhaps before the client itself knows that it is connected.
    const ended = send(proxy, '').then(
      (client) => client.untilEnded(),
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(await ended).toBe('ECONNRESET');
    expect(proxy.decisions()).toMatchObject([
      {
        decision: 'deny',
        reason: 'client_not_allowed',
        via: 'tls',
        host: null,
        client: '127.0.0.1',
      },
    ]);
  });

  test('is no secret to be had: who connects and leaves is neither answered nor logged', async () => {
    const proxy = await start();
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const client = await send(proxy, '');
      client.socket[end]();
      await soon(() => expect(client.socket.destroyed).toBe(true));
    }
    await proxy.stop();
    expect(proxy.decisions()).toEqual([]);
  });

  test('of a metadata address stands, whatever the rules say', async () => {
    const proxy = await startProxy(
      { EGRESS_TLS_LISTEN: '127.0.0.1:0', EGRESS_ALLOW: 'meta.test 160.0.0.0/4' },
      { 'meta.test': ['169.254.169.254'] },
    );
    await (await send(proxy, clientHello({ names: ['meta.test'] }))).until(ACCESS_DENIED);
  });

  test.skipIf(isReserved(443))(
    'of the proxy itself, which would be a loop, too (needs port 443)',
    async () => {
      const proxy = await startProxy(
        { EGRESS_TLS_LISTEN: '127.0.44.5:443', EGRESS_ALLOW: 'self.test 127.0.0.0/8:443' },
        { 'self.test': ['127.0.44.5'] },
      );
      const client = await RawClient.connect(443, '127.0.44.5');
      await client.send(clientHello({ names: ['self.test'] })).until(ACCESS_DENIED);
      expect(proxy.decisions()).toMatchObject([{ reason: 'non_public_address' }]);
    },
  );

  test('does not wait for those who say nothing, when the proxy stops', async () => {
    const proxy = await start({ SHUTDOWN_TIMEOUT: '1h' });
    const client = await send(proxy, '');
    await new Promise(setImmediate);
    await proxy.stop();
    expect(await client.untilEnded()).toMatch(/end|ECONNRESET/);
  });

  test('of connections beyond the limit is logged', async () => {
    const proxy = await start({ EGRESS_MAX_CONNECTIONS: '1', EGRESS_CONNECT_TIMEOUT: '5s' });
    const clients = await Promise.all(Array.from({ length: 70 }, () => send(proxy, '')));
    await soon(() => expect(clients.filter(({ ended }) => ended !== null)).toHaveLength(5));
    expect(proxy.decisions()).toMatchObject([{ reason: 'too_many_connections', via: 'tls' }]);
  });

  test('leaves no slot taken', async () => {
    const proxy = await start({ EGRESS_MAX_CONNECTIONS: '1' });
    for (const _ of [1, 2, 3]) {
      await (await send(proxy, clientHello({ names: ['gone.test'] }))).untilEnded();
    }
  });
});

test('without EGRESS_TLS_LISTEN nothing listens', async () => {
  const proxy = await startProxy();
  expect(proxy.ports.tls).toBe(0);
});
