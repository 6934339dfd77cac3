import { describe, expect, test } from 'vitest';
import { connectionOf, startAnswering, startHttp, startTarget } from './helpers/origin.ts';
import { soon, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

describe('egress_end counts what crossed the wire to the target', () => {
  test('for a tunnel, early bytes included', async () => {
    const target = await startTarget((socket) => {
      socket.write('welcome');
      socket.once('end', () => socket.end());
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`${connectTo(`127.0.0.1:${target.port}`)}early`);
    await client.until('welcome');
    client.socket.end(' late');
    await client.untilEnded();
    const [end] = await proxy.ends(1);
    expect(target.received).toEqual(['early late']);
    expect(end).toMatchObject({ bytes_out: 10, bytes_in: 7 });
    expect(end).not.toHaveProperty('error');
  });

  test('for a tunnel that carries nothing', async () => {
    const target = await startTarget((socket) => socket.once('end', () => socket.end()));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `127.0.0.1:${target.port}`);
    client.socket.end();
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 0, bytes_in: 0 }]);
  });

  test.each([
    ['a GET', 'GET', '', ''],
    ['an upload of known length', 'POST', 'Content-Length: 9\r\n', 'some text'],
    ['an upload in chunks', 'POST', 'Transfer-Encoding: chunked\r\n', '4\r\nsome\r\n0\r\n\r\n'],
  ])('for %s by plain HTTP, header included', async (_, method, field, body) => {
    const target = await startAnswering(ANSWER, 'end');
    const proxy = await startProxyTo(target.port);
    const url = `http://origin.test:${target.port}/x`;
    const { status } = await ask(
      proxy.port,
      `${method} ${url} HTTP/1.1\r\nHost: a\r\n${field}\r\n${body}`,
    );
    expect(status).toBe(200);
    const [end] = await proxy.ends(1);
    await soon(() => expect(target.received[0]).toContain(body));
    expect(end).toMatchObject({ bytes_out: target.received[0]?.length, bytes_in: ANSWER.length });
    expect(end).not.toHaveProperty('error');
  });

  test('for a tunnel that the client breaks', async () => {
    const target = await startTarget((socket) => socket.write('12345'));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `127.0.0.1:${target.port}`);
    client.send('1234567');
    await client.until('12345');
    await soon(() => expect(target.received).toEqual(['1234567']));
    client.socket.resetAndDestroy();
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 7, bytes_in: 5, error: 'ECONNRESET' }]);
  });

  test('for a tunnel that the target breaks', async () => {
    const target = await startTarget((socket) => socket.write('12345'));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `127.0.0.1:${target.port}`);
    client.send('1234567');
    await client.until('12345');
    await soon(() => expect(target.received).toEqual(['1234567']));
    (await connectionOf(target)).resetAndDestroy();
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 7, bytes_in: 5, error: 'ECONNRESET' }]);
  });

  test('for a request whose client leaves before the answer', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await soon(() => expect(target.received[0]).toContain('\r\n\r\n'));
    client.socket.destroy();
    const [end] = await proxy.ends(1);
    expect(end).toMatchObject({
      bytes_out: target.received[0]?.length,
      bytes_in: 0,
      error: 'ECANCELED',
    });
  });

  test('for a request whose target leaves in the middle of the answer', async () => {
    const part = ANSWER.slice(0, -2);
    const target = await startAnswering(part, 'end');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.untilEnded();
    const [end] = await proxy.ends(1);
    expect(end).toMatchObject({
      bytes_out: target.received[0]?.length,
      bytes_in: part.length,
      error: 'ECONNRESET',
    });
  });

  test('once for each request of one client connection', async () => {
    const target = await startHttp((request, response) => response.end(request.url));
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    for (const [host, path] of [
      ['origin.test', '/a'],
      ['127.0.0.1', '/bcde'],
    ]) {
      client.send(`GET http://${host}:${target.port}${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect((await client.answer()).body).toBe(path);
    }
    const ends = await proxy.ends(2);
    expect(ends.map(({ id }) => id)).toEqual(proxy.decisions().map(({ id }) => id));
    expect(ends[0]?.bytes_out).not.toBe(ends[1]?.bytes_out);
  });
});
