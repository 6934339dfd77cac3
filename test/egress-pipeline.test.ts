import { describe, expect, test } from 'vitest';
import { startServer, startTarget } from './helpers/origin.ts';
import { soon, startProxyTo } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';

const GET = (port: number, path: string, fields = '') =>
  `GET http://origin.test:${port}${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

describe('requests on one connection', () => {
  test('are eight at a time, whatever they expect', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const held = 'Expect: 100-continue\r\nContent-Length: 3\r\n';
    client.send(GET(target.port, '/1').repeat(5) + GET(target.port, '/2', held).repeat(1));
    await soon(() => expect(target.sockets.length).toBe(6));
    client.send(`abc${GET(target.port, '/3', 'Expect: foo\r\n').repeat(3)}`);
    await client.untilEnded();
    await soon(() => {
      const reasons = proxy.decisions().map(({ reason }) => reason);
      expect(reasons).toContain('too_many_connections');
    });
  });

  test.each([
    ['what is no request', 'GARBAGE\0\r\n\r\n'],
    ['half of one', 'GET / HTTP/9.9\r\n\r\n'],
  ])('leave a line of %s behind one that has no answer yet', async (_, text) => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(GET(target.port, '/'));
    await soon(() => expect(target.sockets.length).toBe(1));
    client.send(text);
    await client.untilEnded();
    await soon(() => expect(proxy.decisions()).toHaveLength(2));
    expect(proxy.decisions()).toMatchObject([
      { decision: 'allow', host: 'origin.test' },
      { decision: 'deny', reason: 'bad_target' },
    ]);
  });

  test('get the whole of an answer, if the one behind it is cut off', async () => {
    const target = await startServer((socket) => {
      socket.once('data', (bytes: Buffer) => {
        const head = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n';
        if (bytes.includes('/cut')) socket.write(`${head}abc`, () => socket.resetAndDestroy());
        else {
          socket.write(`${head}who`);
          setTimeout(() => socket.end('le.'), 600);
        }
      });
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(GET(target.port, '/whole') + GET(target.port, '/cut'));
    await client.untilEnded();
    expect(client.received).toContain('whole.');
    expect(client.received).not.toContain('abc');
    const ends = await proxy.ends(2);
    expect(ends.map(({ error }) => error).sort()).toEqual(['ECONNRESET', undefined]);
  });
});
