import { networkInterfaces } from 'node:os';
import { describe, expect, test, vi } from 'vitest';
import { canonicalAddress } from '../src/policy/host.ts';
import { startTarget } from './helpers/origin.ts';
import { failing, soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, RawClient } from './helpers/raw-client.ts';

/** This machine's own addresses, as a CONNECT target has them. */
const OWN = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .filter(({ address }) => !address.startsWith('fe80:'))
  .map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address));

const EVERYWHERE = {
  EGRESS_ALLOW: [
    '127.0.0.0/8:*',
    '0.0.0.0/8:*',
    '[::1]:*',
    '[::]:*',
    'self.test:*',
    ...OWN.map((address) => `${address}:*`),
  ].join(),
};

describe("the proxy's own listeners are never reached", () => {
  test.each([
    '127.0.0.1',
    '127.0.0.2',
    '127.255.255.254',
    '0.0.0.0',
    '0.0.0.1',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:0.0.0.0]',
    ...OWN,
  ])('by way of %s, though a rule covers it', async (host) => {
    const proxy = await startProxy(EVERYWHERE);
    const { ingress, admin } = proxy.ports;
    for (const port of [proxy.port, ingress, admin]) {
      const answer = await ask(proxy.port, connectTo(`${host}:${port}`));
      expect([port, answer.status]).toEqual([port, 403]);
      expect(answer.headers.get('x-whisper-proxy-reason')).toBe('non_public_address');
      expect(answer.body).toContain('whatever the rules say');
    }
  });

  test.each(['127.0.0.1', '127.0.0.9', '0.0.0.0', '::1', '::', '2002:7f00:1::', '::127.0.0.1'])(
    'by way of a name that resolves to %s',
    async (address) => {
      const proxy = await startProxy(EVERYWHERE, { 'self.test': ['8.8.8.8', address] });
      const url = `http://self.test:${proxy.ports.admin}/healthz`;
      const answer = await ask(proxy.port, `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(answer.status).toBe(403);
      expect(proxy.decisions()).toMatchObject([{ reason: 'non_public_address', address }]);
    },
  );

  test('also in report mode', async () => {
    const proxy = await startProxy({ EGRESS_MODE: 'report' });
    const answer = await ask(proxy.port, connectTo(`127.0.0.1:${proxy.ports.admin}`));
    expect(answer.status).toBe(403);
  });
});

describe.skipIf(process.platform !== 'linux')('EGRESS_CLIENTS (Linux: any 127/8 address)', () => {
  test('are never reached, by address or by name', async () => {
    const target = await startTarget(undefined, '127.0.0.2');
    const proxy = await startProxy(
      {
        EGRESS_CLIENTS: '127.0.0.2',
        EGRESS_ALLOW: `127.0.0.0/8:${target.port} whisper.test:${target.port}`,
      },
      { 'whisper.test': ['127.0.0.2'] },
    );
    for (const host of ['127.0.0.2', '[::ffff:127.0.0.2]', 'whisper.test']) {
      const client = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.2');
      const { status } = await client.send(connectTo(`${host}:${target.port}`)).answer();
      expect([host, status]).toEqual([host, 403]);
    }
    expect(target.sockets).toHaveLength(0);
  });

  test.each([
    ['127.0.0.1', '0.0.0.0', '0.0.0.0'],
    ['127.0.0.1', '[::ffff:0.0.0.0]', '0.0.0.0'],
    ['::1', '[::]', '::1'],
    ['self.test', '0.0.0.0', '0.0.0.0'],
    ['self.test', '[64:ff9b::7f00:1]', '::'],
    ['self.test', '[64:ff9b:1:7f00:0:100::]', '::'],
    ['127.0.0.0/8', '[64:ff9b:1:7f00:0:100::]', '::'],
    ['self.test', '[2002:7f00:1::1]', '::'],
  ])(
    'named as %s are not reached as %s, though a rule covers it',
    async (clients, host, listen) => {
      const target = await startTarget(undefined, listen);
      const proxy = await startProxy(
        {
          EGRESS_CLIENTS: `127.0.0.3 ${clients}`,
          EGRESS_ALLOW: `0.0.0.0/8:* [::]:* [64:ff9b::]/32:* [2002::]/16:* forms.test:*`,
        },
        {
          'self.test': ['127.0.0.1'],
          'forms.test': [canonicalAddress(host.replace(/[[\]]/g, ''))],
        },
      );
      // Looks the names among the clients up.
      await ask(proxy.port, connectTo('x.test:443'));
      for (const asked of [host, 'forms.test']) {
        const client = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.3');
        const answer = await client.send(connectTo(`${asked}:${target.port}`)).answer();
        expect([asked, answer.status]).toEqual([asked, 403]);
        expect(answer.body).toContain('whatever the rules say');
      }
      expect(target.sockets).toHaveLength(0);
    },
  );

  test.each([
    ['a tunnel', connectTo('origin.test:443')],
    ['plain HTTP', 'GET http://origin.test/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a bad target', connectTo('origin.test')],
    ['garbage', 'garbage\r\n\r\n'],
    ['a byte', 'G'],
  ])('shut strangers out of %s, before anything is read', async (_, request) => {
    const proxy = await startProxyTo(443, { EGRESS_CLIENTS: '127.0.0.2' });
    const client = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.3');
    const answer = await client.send(request).answer();
    expect(answer.status).toBe(403);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('client_not_allowed');
    expect(proxy.decisions()).toMatchObject([
      {
        ...{ decision: 'deny', reason: 'client_not_allowed', via: 'http' },
        ...{ method: null, host: null, client: '127.0.0.3' },
      },
    ]);
    expect(proxy.lookups).toEqual([]);
  });

  test('are not reached while nobody knows where their name leads', async () => {
    const client = await startTarget(undefined, '127.0.0.2');
    const other = await startTarget(undefined, '127.0.0.9');
    let answer: () => Promise<string[]> = failing('EAI_AGAIN');
    const env = {
      EGRESS_CLIENTS: '127.0.0.3 client.test',
      EGRESS_ALLOW: `127.0.0.0/8:${client.port} 127.0.0.0/8:${other.port}`,
    };
    const proxy = await startProxy(env, { 'client.test': () => answer() });
    // At the start, before anybody has asked for anything.
    await soon(() => expect(proxy.lookups).toEqual(['client.test']));
    const statusOf = async ({ port }: { port: number }, host: string) => {
      const socket = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.3');
      return (await socket.send(connectTo(`${host}:${port}`)).answer()).status;
    };
    expect(await statusOf(client, '127.0.0.2')).toBe(403);
    expect(await statusOf(other, '127.0.0.9')).toBe(403);
    answer = async () => ['127.0.0.2'];
    await vi.waitFor(async () => expect(await statusOf(other, '127.0.0.9')).toBe(200), 60_000);
    expect(await statusOf(client, '127.0.0.2')).toBe(403);
    // It comes back with another address, which nobody has used yet.
    answer = async () => ['127.0.0.9'];
    await vi.waitFor(async () => expect(await statusOf(other, '127.0.0.9')).toBe(403), 60_000);
    expect(client.sockets).toHaveLength(0);
  });

  test.each([
    ['a tunnel', connectTo('origin.test:443')],
    ['plain HTTP', 'GET http://origin.test/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('whose name cannot be looked up are told so, for %s', async (_, request) => {
    const env = { EGRESS_CLIENTS: 'client.test' };
    const proxy = await startProxyTo(443, env, { 'client.test': failing('EAI_AGAIN') });
    const client = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.2');
    const answer = await client.send(request).answer();
    expect(answer.status).toBe(403);
    expect(answer.body).toContain('A name in EGRESS_CLIENTS cannot be looked up (EAI_AGAIN), so');
    expect(proxy.decisions()).toMatchObject([
      { reason: 'client_not_allowed', error: 'EAI_AGAIN', client: '127.0.0.2' },
    ]);
  });

  test('let in those that a name stands for', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(
      target.port,
      { EGRESS_CLIENTS: 'client.test' },
      { 'client.test': ['127.0.0.2'] },
    );
    const tunnel = connectTo(`origin.test:${target.port}`);
    const friend = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.2');
    expect((await friend.send(tunnel).answer()).status).toBe(200);
    const stranger = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.3');
    expect((await stranger.send(tunnel).answer()).status).toBe(403);
  });
});
