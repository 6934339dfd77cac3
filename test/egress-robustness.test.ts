import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Admissions } from '../src/egress/admission.ts';
import { crowdLimits } from '../src/egress/crowd.ts';
import { createEgressServer } from '../src/egress/server.ts';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import { DecisionLog } from '../src/log/decision-log.ts';
import { createLogger } from '../src/log/logger.ts';
import { ClientList } from '../src/net/client-list.ts';
import { connectionOf, startAnswering, startTarget } from './helpers/origin.ts';
import { soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const warnings: Error[] = [];
const keep = (warning: Error) => warnings.push(warning);

beforeEach(() => {
  process.on('warning', keep);
});

afterEach(() => {
  process.removeListener('warning', keep);
  expect(warnings.splice(0)).toEqual([]);
});

describe('what is no HTTP/1.1', () => {
  const hello = `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${'\x00'.repeat(500)}`;

  test.each([
    ['garbage', '\x00\x01\x02\r\n\r\n', '\\x00\\x01\\x02'],
    ['a TLS ClientHello', hello, '\\x16\\x03\\x01'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '*'],
    ['SOCKS 5', '\x05\x01\x00', '\\x05\\x01\\x00'],
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'SSH-2.0'],
    ['a request line without a target', 'GET\r\n\r\n', 'GET'],
    ['an unknown method', 'FETCH http://ok.test/ HTTP/1.1\r\n\r\n', 'http://ok.test/'],
    ['another version', 'GET http://ok.test/ HTTP/3.0\r\n\r\n', 'http://ok.test/'],
  ])('is refused with 400 and logged once: %s', async (_, bytes, host) => {
    const proxy = await startProxy({ EGRESS_ALLOW: 'ok.test:80' });
    const client = await RawClient.connect(proxy.port);
    // In pieces: the rest of what was refused is no second request.
    client.send(bytes);
    expect((await client.answer()).status).toBe(400);
    client.send(bytes).send(bytes);
    expect(await client.untilEnded()).toBe('end');
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'bad_target', host: expect.stringContaining(host) },
    ]);
  });

  test('gets its answer at any size', async () => {
    const proxy = await startProxy();
    const client = await RawClient.connect(proxy.port);
    await client.sendAll('\x00'.repeat(16 * 1024 * 1024));
    expect((await client.answer()).status).toBe(400);
    expect(proxy.decisions()).toHaveLength(1);
  });

  test('is no part of an answer that is still under way', async () => {
    const target = await startAnswering('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.until('hello');
    client.send('garbage\r\n\r\n');
    await client.untilEnded();
    expect(client.received.endsWith('hello')).toBe(true);
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECANCELED' }]);
  });

  test('in the chunks of an upload ends the upload', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/`;
    client.send(`POST ${url} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome`);
    await soon(() => expect(target.received[0]).toContain('some'));
    client.send('garbage\r\n');
    await client.untilEnded();
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECANCELED' }]);
    expect(target.received[0]).not.toContain('\r\n0\r\n');
  });
});

describe('a client that vanishes', () => {
  const silent = () => new Promise<string[]>(() => undefined);

  test.each([
    ['before it says anything', ''],
    ['in the middle of a header', 'CONNECT origin.te'],
    ['during the look-up', connectTo('slow.test:443')],
    ['right after CONNECT', connectTo('origin.test:PORT')],
    ['right after CONNECT, with early bytes', `${connectTo('origin.test:PORT')}early`],
    ['right after a GET', 'GET http://origin.test:PORT/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    [
      'in the middle of an upload',
      'POST http://origin.test:PORT/ HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nsome',
    ],
    [
      'with several requests under way',
      'GET http://origin.test:PORT/ HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3),
    ],
    ['after a 403', connectTo('evil.test:443')],
  ])('%s leaves nothing behind', async (_, request) => {
    const target = await startTarget((socket) => socket.once('end', () => socket.end()));
    const proxy = await startProxyTo(
      target.port,
      {
        EGRESS_ALLOW: `origin.test:${target.port} 127.0.0.1:${target.port} slow.test`,
        EGRESS_MAX_CONNECTIONS: '3',
        // Who half-closes may still wait for an answer, until then.
        EGRESS_CONNECT_TIMEOUT: '200ms',
      },
      { 'slow.test': silent },
    );
    const bytes = request.replaceAll('PORT', String(target.port));
    for (const leave of ['destroy', 'resetAndDestroy'] as const) {
      for (let time = 0; time < 3; time += 1) {
        const client = await RawClient.connect(proxy.port);
        await new Promise((resolve) => client.socket.write(bytes, 'latin1', resolve));
        client.socket[leave]();
      }
    }
    // All three slots are free again, and no connection to the target is left over.
    await soon(() => expect(target.sockets.map(({ destroyed }) => destroyed)).not.toContain(false));
    await soon(async () => {
      const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(proxy.port)));
      const tunnel = connectTo(`127.0.0.1:${target.port}`);
      const answers = await Promise.all(clients.map((client) => client.send(tunnel).answer()));
      for (const { socket } of clients) socket.resetAndDestroy();
      const statuses = answers.map(({ status }) => status);
      expect(statuses).toEqual([200, 200, 200]);
    });
    expect(proxy.texts.join('')).not.toContain('"level":"error"');
    for (const line of proxy.decisions()) expect(line.client).toBe('127.0.0.1');
  });

  test.skipIf(process.platform !== 'linux')(
    'while the list of clients is looked up causes no connection (Linux: any 127/8 address)',
    async () => {
      const target = await startTarget();
      let found: (addresses: string[]) => void = () => undefined;
      const lookup = new Promise<string[]>((resolve) => {
        found = resolve;
      });
      const proxy = await startProxyTo(
        target.port,
        { EGRESS_CLIENTS: 'client.test' },
        { 'client.test': () => lookup },
      );
      const client = await RawClient.connect(proxy.port, '127.0.0.1', '127.0.0.2');
      client.send(connectTo(`127.0.0.1:${target.port}`));
      await soon(() => expect(proxy.lookups).toEqual(['client.test']));
      // The look-up begins with the connection, before the request is there.
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.socket.resetAndDestroy();
      // The proxy runs in this process: after this it has seen the reset.
      await new Promise((resolve) => setTimeout(resolve, 20));
      found(['127.0.0.2']);
      // Nothing that it said was read, so there is nothing to tell.
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(proxy.decisions()).toEqual([]);
      expect(target.sockets).toHaveLength(0);
    },
  );

  test('from a tunnel takes the connection to the target along', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    const far = await connectionOf(target);
    client.socket.destroy();
    far.end();
    await soon(() => expect(far.destroyed).toBe(true));
    await proxy.ends(1);
  });

  test('while its answers queue takes all of them along', async () => {
    const target = await startAnswering('HTTP/1.1 200 OK\r\n\r\nfor ever');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const get = `GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`;
    client.send(get.repeat(8));
    await client.until('for ever');
    await soon(() => expect(target.sockets).toHaveLength(8));
    client.socket.resetAndDestroy();
    await soon(() =>
      expect(target.sockets.every((socket) => socket.readableEnded || socket.destroyed)).toBe(true),
    );
  });
});

test('a connection that asks for more than eight things at once is dropped', async () => {
  const target = await startAnswering('HTTP/1.1 200 OK\r\n\r\nfor ever');
  const proxy = await startProxyTo(target.port);
  const client = await RawClient.connect(proxy.port);
  const get = `GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`;
  client.send(get.repeat(2000));
  await soon(() => expect(client.socket.destroyed).toBe(true));
  expect(target.sockets.length).toBeLessThanOrEqual(8);
});

describe('a slow header', () => {
  test('is not waited for', async () => {
    const logger = createLogger('info', { write: () => undefined });
    const log = new DecisionLog(logger, true);
    const clients = new ClientList('EGRESS_CLIENTS', null, async () => [], logger);
    const admissions = new Admissions({
      clients,
      rules: new RulesInForce({
        allow: [],
        deny: [],
        mode: 'enforce',
        maxUpload: { default: null, groups: {} },
      }),
      isForbidden: () => false,
      resolve: async () => [],
      log,
      maxConnections: 1,
      connectTimeout: 1_000,
      requireSni: true,
    });
    const server = createEgressServer(admissions, {
      clients,
      log,
      logger,
      limits: crowdLimits(1),
      idleTimeout: 1_000,
      pseudonym: 'test',
      transparent: false,
      requireSni: true,
      helloTimeout: 1_000,
    });
    expect(server.headersTimeout).toBe(10_000);
    server.headersTimeout = 100;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUp(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    for (const beginning of ['', 'GET http://evil.test/ HTTP/1.1\r\nX: ']) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      cleanUp(() => socket.destroy());
      socket.write(beginning);
      const drip = setInterval(() => socket.write('x'), 50);
      cleanUp(() => clearInterval(drip));
      socket.resume();
      await once(socket, 'close');
    }
  });
});
