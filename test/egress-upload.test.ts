import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { start, startAnswering, startTarget } from './helpers/origin.ts';
import { soon, startProxyTo } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const KIB = 1024;
const limited = (limit: string) => ({ EGRESS_MAX_UPLOAD: limit });

describe('in a tunnel', () => {
  test('a limit that is just reached is not exceeded', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, limited('64KiB'));
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('x'.repeat(64 * KIB));
    await soon(() => expect(target.received[0]).toHaveLength(64 * KIB));
    target.sockets[0]?.end('bye');
    await client.until('bye');
    client.socket.end();
    expect(await proxy.ends(1)).toEqual([expect.not.objectContaining({ error: 'upload_limit' })]);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
  });

  test('one byte more ends it both ways, and is logged with the counts', async () => {
    const target = await startTarget((socket) => socket.write('hello'));
    const proxy = await startProxyTo(target.port, limited('64KiB'));
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await client.until('hello');
    client.send('x'.repeat(64 * KIB));
    await soon(() => expect(target.received[0]).toHaveLength(64 * KIB));
    client.send('y');
    expect(await client.untilEnded()).toBe('ECONNRESET');
    await soon(() => expect(target.sockets[0]?.destroyed).toBe(true));
    expect(target.received[0]).not.toContain('y');
    const [end] = await proxy.ends(1);
    const counts = { bytes_out: 64 * KIB, bytes_in: 5 };
    expect(end).toMatchObject({ ...counts, error: 'upload_limit' });
    expect(proxy.decisions()).toMatchObject([
      { decision: 'allow', id: end?.id },
      {
        ...{ decision: 'deny', reason: 'upload_limit', via: 'connect', id: end?.id },
        ...{ rule: `origin.test:${target.port}`, host: 'origin.test', address: '127.0.0.1' },
        ...counts,
      },
    ]);
  });

  test('HTTP/2 acknowledges what it gets, and that counts: a limit can be too low for a download', async () => {
    const size = 24 * 2 ** 20;
    const server = createHttp2Server();
    server.on('stream', (stream) => {
      stream.on('error', () => undefined).respond({ ':status': 200 });
      stream.end(Buffer.alloc(size));
    });
    const origin = await start(server, '127.0.0.1', []);
    /** How many bytes come down before it ends. */
    const download = async (limit: string) => {
      const proxy = await startProxyTo(origin.port, limited(limit));
      const socket = connect(proxy.port, '127.0.0.1').on('error', () => undefined);
      socket.write(connectTo(`origin.test:${origin.port}`));
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      socket.pause();
      socket.unshift(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4));
      const session = connectHttp2('http://origin.test', { createConnection: () => socket });
      cleanUp(() => session.destroy());
      const stream = session
        .on('error', () => undefined)
        .request()
        .on('error', () => undefined);
      let received = 0;
      stream.on('data', (bytes: Buffer) => {
        received += bytes.length;
      });
      await new Promise((resolve) => stream.once('close', resolve));
      return received;
    };
    expect(await download('1MiB')).toBe(size);
    expect(await download('4KiB')).toBeLessThan(size);
  });

  test('what comes together with the CONNECT counts, and does not leave if it is too much', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, limited('10B'));
    const client = await RawClient.connect(proxy.port);
    client.send(`${connectTo(`origin.test:${target.port}`)}${'x'.repeat(11)}`);
    await client.untilEnded();
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 0, error: 'upload_limit' }]);
    expect(target.received).toEqual(['']);
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'upload_limit', bytes_out: 0 });
  });

  test('it counts each connection, not all of them, and never what comes back', async () => {
    const target = await startTarget((socket) => socket.write('z'.repeat(64 * KIB)));
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    for (const _ of [1, 2, 3]) {
      const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
      client.send('x'.repeat(KIB));
      await soon(() => expect(client.received).toHaveLength(64 * KIB));
      client.socket.end();
    }
    await soon(() => expect(target.received.map(({ length }) => length)).toEqual([KIB, KIB, KIB]));
    expect(proxy.decisions().map(({ decision }) => decision)).toEqual(['allow']);
  });

  test('repeats are folded into one line that adds their counts up', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, limited('4B'));
    for (const size of [5, 6, 7]) {
      const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
      client.send('1234');
      await soon(() => expect(target.received.at(-1)).toBe('1234'));
      client.send('x'.repeat(size));
      await client.untilEnded();
    }
    await soon(() => expect(target.sockets.every((socket) => socket.destroyed)).toBe(true));
    await proxy.stop();
    const lines = proxy.decisions().filter(({ reason }) => reason === 'upload_limit');
    expect(lines).toMatchObject([{ bytes_out: 4 }, { bytes_out: 8, repeated: 2, id: null }]);
  });
});

describe('by plain HTTP', () => {
  const post = (port: number, fields: string, body: string, host = 'origin.test') =>
    `POST http://${host}:${port}/ HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
  const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

  test('a length that is too much is answered before anything leaves', async () => {
    const target = await startAnswering(OK);
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    const answer = await ask(proxy.port, post(target.port, 'Content-Length: 1024', ''));
    expect(answer.status).toBe(413);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('upload_limit');
    expect(answer.headers.get('proxy-status')).toContain('details="upload_limit"');
    expect(answer.body).toContain('EGRESS_MAX_UPLOAD');
    expect(target.received).toEqual(['']);
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 0, error: 'upload_limit' }]);
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'upload_limit', via: 'http' });
  });

  test('no 100 invites a body that is too much', async () => {
    const target = await startAnswering(OK);
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    const fields = 'Expect: 100-continue\r\nContent-Length: 5000';
    const client = await RawClient.connect(proxy.port);
    expect((await client.send(post(target.port, fields, '')).answer()).status).toBe(413);
  });

  test('a chunked body is cut off where the limit is', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    const client = await RawClient.connect(proxy.port);
    const chunk = `100\r\n${'x'.repeat(256)}\r\n`;
    client.send(post(target.port, 'Transfer-Encoding: chunked', chunk));
    await soon(() => expect(target.received[0]).toContain('x'.repeat(256)));
    client.send(chunk.repeat(4));
    expect((await client.answer()).status).toBe(413);
    expect(target.received[0]?.length).toBeLessThanOrEqual(KIB);
    const [end] = await proxy.ends(1);
    expect(end).toMatchObject({ bytes_out: target.received[0]?.length, error: 'upload_limit' });
    expect(proxy.decisions()[1]).toMatchObject({
      reason: 'upload_limit',
      bytes_out: end?.bytes_out,
    });
  });

  test('tiny chunks do not get more through than large ones', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    const client = await RawClient.connect(proxy.port);
    client.send(post(target.port, 'Transfer-Encoding: chunked', ''));
    for (let sent = 0; sent < 2000 && client.received === ''; sent += 1) {
      client.send('1\r\nx\r\n');
      await new Promise(setImmediate);
    }
    expect((await client.answer()).status).toBe(413);
    expect(target.received[0]?.length).toBeLessThanOrEqual(KIB);
  });

  test('a header that is too much does not leave', async () => {
    const target = await startAnswering(OK);
    const proxy = await startProxyTo(target.port, limited('512B'));
    const get = (padding: number) =>
      `GET http://origin.test:${target.port}/${'x'.repeat(padding)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    expect((await ask(proxy.port, get(10))).status).toBe(200);
    expect((await ask(proxy.port, get(512))).status).toBe(413);
    expect(target.received[1]).toBe('');
  });

  test('an answer that has begun is broken off', async () => {
    const target = await startTarget((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    });
    const proxy = await startProxyTo(target.port, limited('1KiB'));
    const client = await RawClient.connect(proxy.port);
    client.send(post(target.port, 'Transfer-Encoding: chunked', ''));
    await client.until('abc');
    client.send(`1000\r\n${'x'.repeat(4096)}\r\n`);
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'upload_limit' }]);
  });

  test('each request of a connection has a connection to the target, and a limit, of its own', async () => {
    const target = await startAnswering(OK, 'end');
    const proxy = await startProxyTo(target.port, limited('600B'));
    const client = await RawClient.connect(proxy.port);
    for (const _ of [1, 2, 3]) {
      client.send(post(target.port, 'Content-Length: 300', 'x'.repeat(300)));
      expect((await client.answer()).status).toBe(200);
    }
    expect(target.sockets).toHaveLength(3);
  });
});

describe("a group's limit", () => {
  test('wins over the general one, for what its rules let through', async () => {
    const target = await startTarget();
    const { port } = target;
    const proxy = await startProxyTo(
      port,
      {
        EGRESS_ALLOW: `127.0.0.1:${port}`,
        EGRESS_ALLOW_TIGHT: `tight.test:${port}`,
        EGRESS_ALLOW_WIDE: `wide.test:${port}`,
        EGRESS_ALLOW_REST: `rest.test:${port}`,
        EGRESS_MAX_UPLOAD: '100B',
        EGRESS_MAX_UPLOAD_TIGHT: '10B',
        EGRESS_MAX_UPLOAD_WIDE: '1MiB',
      },
      { 'tight.test': ['127.0.0.1'], 'wide.test': ['127.0.0.1'], 'rest.test': ['127.0.0.1'] },
    );
    const passes = async (host: string, bytes: number) => {
      const index = target.sockets.length;
      const client = await openTunnel(proxy.port, `${host}:${port}`);
      client.send('x'.repeat(bytes));
      return soon(() => {
        if (client.ended !== null) return false;
        expect(target.received[index]).toHaveLength(bytes);
        return true;
      });
    };
    expect(await passes('tight.test', 10)).toBe(true);
    expect(await passes('tight.test', 11)).toBe(false);
    expect(await passes('rest.test', 100)).toBe(true);
    expect(await passes('rest.test', 101)).toBe(false);
    expect(await passes('127.0.0.1', 101)).toBe(false);
    expect(await passes('wide.test', 101)).toBe(true);
  });

  test('is the smallest one, where rules of several groups cover a target, in whichever order', async () => {
    const target = await startTarget();
    const rule = `origin.test:${target.port}`;
    for (const [first, second] of [
      ['A', 'B'],
      ['B', 'A'],
    ]) {
      const proxy = await startProxyTo(target.port, {
        EGRESS_ALLOW: `127.0.0.1:${target.port}`,
        [`EGRESS_ALLOW_${first}`]: rule,
        [`EGRESS_ALLOW_${second}`]: `*.x.test ${rule}`,
        EGRESS_MAX_UPLOAD_B: '4B',
      });
      const client = await openTunnel(proxy.port, rule);
      await client.send('12345').untilEnded();
      expect(proxy.decisions()[1]).toMatchObject({
        reason: 'upload_limit',
        rule: `${first} ${rule}`,
      });
    }
  });

  test('in report mode, what no rule covers has the general one', async () => {
    const target = await startTarget();
    const env = { EGRESS_MODE: 'report', EGRESS_MAX_UPLOAD: '10B' };
    const names = { 'other.test': ['127.0.0.1'] };
    const proxy = await startProxyTo(target.port, env, names);
    const client = await openTunnel(proxy.port, `other.test:${target.port}`);
    client.send('x'.repeat(11));
    await client.untilEnded();
    expect(proxy.decisions()).toMatchObject([
      { decision: 'would_deny', reason: 'not_allowed' },
      { decision: 'deny', reason: 'upload_limit', rule: null },
    ]);
  });
});
