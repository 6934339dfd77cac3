import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { describe, expect, test } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { startAnswering, startHttp, startTarget } from './helpers/origin.ts';
import { soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';

const MIB = 1024 * 1024;

function post(url: string, fields: string): string {
  return `POST ${url} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`;
}

describe('an upload', () => {
  test.each([
    ['Content-Length: 9', 'some text'],
    ['Transfer-Encoding: chunked', '5\r\nsome \r\n4;ext=1\r\ntext\r\n0\r\n\r\n'],
    ['Transfer-Encoding: CHUNKED', '9\r\nsome text\r\n0\r\nX-Trailer: 1\r\n\r\n'],
  ])('with %s arrives whole', async (field, body) => {
    const target = await startHttp(async (request, response) => {
      response.end(Buffer.concat(await request.toArray()));
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(post(`http://origin.test:${target.port}/`, field) + body);
    const answer = await client.answer();
    expect([answer.status, answer.body]).toEqual([200, 'some text']);
  });

  test('and a download of 64 MiB arrive byte for byte', async () => {
    const target = await startHttp((request, response) => request.pipe(response));
    const proxy = await startProxyTo(target.port);
    const [sent, got] = [createHash('sha1'), createHash('sha1')];
    const outgoing = httpRequest({
      port: proxy.port,
      host: '127.0.0.1',
      method: 'PUT',
      path: `http://origin.test:${target.port}/`,
    });
    const done = new Promise<void>((resolve, reject) => {
      outgoing.once('error', reject);
      outgoing.once('response', (answer) => {
        answer.on('data', (bytes: Buffer) => got.update(bytes));
        answer.once('end', resolve);
        answer.once('error', reject);
      });
    });
    for (let count = 0; count < 64; count += 1) {
      const chunk = Buffer.alloc(MIB, `${count} `);
      sent.update(chunk);
      if (!outgoing.write(chunk)) await new Promise((resolve) => outgoing.once('drain', resolve));
    }
    outgoing.end();
    await done;
    expect(got.digest('hex')).toBe(sent.digest('hex'));
  });

  test('stops while the target does not read', async () => {
    const target = await startTarget((socket) => socket.pause());
    const proxy = await startProxyTo(target.port);
    const outgoing = httpRequest({
      port: proxy.port,
      host: '127.0.0.1',
      method: 'PUT',
      path: `http://origin.test:${target.port}/`,
    });
    outgoing.on('error', () => undefined);
    const chunk = Buffer.alloc(MIB);
    let written = 0;
    const fill = () => {
      while (written < 256 && outgoing.write(chunk)) written += 1;
    };
    outgoing.on('drain', fill);
    fill();
    let [before, still] = [-1, 0];
    await soon(() => {
      still = written === before ? still + 1 : 0;
      before = written;
      if (still < 20) throw new Error('it still flows');
    });
    expect(written).toBeLessThan(64);
    outgoing.destroy();
    // Only then does the proxy read again, and see that the client has gone.
    target.sockets[0]?.resume();
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECANCELED' }]);
  });

  test('that the target answers before its end: the answer arrives, also if both close', async () => {
    const target = await startAnswering('HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno\n');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/`;
    client.send(post(url, `Connection: close\r\nContent-Length: ${64 * MIB}`));
    await client.sendAll('x'.repeat(16 * MIB));
    const answer = await client.answer();
    expect([answer.status, answer.body]).toEqual([413, 'no\n']);
  });

  test('whose target breaks gets a 502, and not just a broken connection', async () => {
    const target = await startTarget((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`${post(`http://origin.test:${target.port}/`, 'Content-Length: 100')}some`);
    const answer = await client.answer();
    expect(answer.status).toBe(502);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('connect_failed');
    expect(answer.body).toContain('ECONNRESET');
  });
});

describe('a denied upload', () => {
  test.each(['keep-alive', 'close'])('of any size gets its 403 (Connection: %s)', async (wish) => {
    const proxy = await startProxy();
    const client = await RawClient.connect(proxy.port);
    const fields = `Connection: ${wish}\r\nContent-Length: ${8 * MIB}`;
    await client.sendAll(post('http://evil.test/', fields) + 'x'.repeat(8 * MIB));
    expect((await client.answer()).status).toBe(403);
    expect(await client.untilEnded()).toBe('end');
  });

  test('has nothing done that stands behind it', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(post('http://evil.test/', 'Content-Length: 4'));
    expect((await client.answer()).status).toBe(403);
    const url = `http://origin.test:${target.port}/`;
    client.send(`bodyGET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(await client.untilEnded()).toBe('end');
    await proxy.stop();
    expect(target.sockets).toHaveLength(0);
  });
});

describe('Expect: 100-continue', () => {
  const fields = 'Content-Length: 4\r\nExpect: 100-continue';

  test('is answered with 100 when allowed, and does not go on', async () => {
    const target = await startHttp((request, response) => {
      response.setHeader('X-Expect', String(request.headers.expect));
      request.pipe(response);
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(post(`http://origin.test:${target.port}/`, fields));
    expect((await client.answer()).status).toBe(100);
    client.send('body');
    await client.until('body');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\nX-Expect: undefined\r\n/);
  });

  test.each([
    ['denied', 'http://evil.test/', 403],
    ['not reached', 'http://127.0.0.1:PORT/', 502],
  ])('gets no 100 when %s', async (_, url, status) => {
    const port = await freePort();
    const proxy = await startProxyTo(port);
    const client = await RawClient.connect(proxy.port);
    client.send(post(url.replace('PORT', String(port)), fields));
    expect((await client.answer()).status).toBe(status);
  });

  test('with another expectation is decided like any request', async () => {
    const proxy = await startProxy();
    const client = await RawClient.connect(proxy.port);
    client.send('GET http://evil.test/ HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n');
    expect((await client.answer()).status).toBe(403);
    expect(proxy.decisions()).toMatchObject([{ reason: 'not_allowed' }]);
  });
});
