import { describe, expect, test } from 'vitest';
import { startAnswering, startHttp, startTarget } from './helpers/origin.ts';
import { startProxyTo } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';

const SMUGGLED = 'GET /admin HTTP/1.1\r\nHost: inner.test\r\n\r\n';

describe('a request that two readers could take for two different ones', () => {
  test.each([
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 40'],
    ['the same length twice', 'Content-Length: 4\r\nContent-Length: 4'],
    ['a list of lengths', 'Content-Length: 4, 40'],
    ['a signed length', 'Content-Length: +4'],
    ['a negative length', 'Content-Length: -4'],
    ['a hexadecimal length', 'Content-Length: 0x4'],
    ['a length beyond all bounds', 'Content-Length: 99999999999999999999'],
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 4'],
    ['chunked not being last', 'Transfer-Encoding: chunked, identity'],
    ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
    ['an unknown coding', 'Transfer-Encoding: xchunked'],
    ['a coding that could not be told on', 'Transfer-Encoding: gzip, chunked'],
    ['a space before the colon', 'Transfer-Encoding : chunked'],
    ['a folded line', 'Transfer-Encoding:\r\n chunked'],
    ['a bare line feed', 'X: 1\nTransfer-Encoding: chunked'],
    ['a bare carriage return', 'X: 1\rTransfer-Encoding: chunked'],
    ['a NUL in a field', 'X: 1\0'],
    ['a field without a name', ': 1'],
    ['a field without a colon', 'Nothing'],
  ])('%s: refused with 400, and the target sees no connection', async (_, field) => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/`;
    client.send(`POST ${url} HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n0\r\n\r\n${SMUGGLED}`);
    const answer = await client.answer();
    expect(answer.status).toBe(400);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('bad_target');
    for (const line of proxy.decisions()) expect(line.reason).toBe('bad_target');
    expect(proxy.decisions()).not.toEqual([]);
    await proxy.stop();
    expect(target.sockets).toHaveLength(0);
  });

  test.each([
    ['POST', 'Content-Length: 41'],
    ['GET', 'Content-Length: 41'],
    ['GET', 'Transfer-Encoding: chunked'],
  ])(
    'the body of a %s whose "%s" stands behind 1000 fields is no request',
    async (method, field) => {
      const asked: (string | undefined)[] = [];
      const target = await startHttp((request, response) => {
        asked.push(request.url);
        request.resume().once('end', () => response.end('ok'));
      });
      const proxy = await startProxyTo(target.port);
      const client = await RawClient.connect(proxy.port);
      const body = field.startsWith('T') ? `29\r\n${SMUGGLED}\r\n0\r\n\r\n` : SMUGGLED;
      const fields = `${'a:\r\n'.repeat(2000)}${field}`;
      const url = `http://origin.test:${target.port}/`;
      client.send(`${method} ${url} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`);
      const { status } = await client.answer();
      // Newer Node origins refuse so many fields by themselves.
      expect([200, 400, 431, 502]).toContain(status);
      await proxy.stop();
      expect(asked.filter((path) => path !== '/')).toEqual([]);
    },
  );

  test('a body that Connection hides is still a body', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const fields = `Connection: Content-Length\r\nContent-Length: ${SMUGGLED.length}`;
    const url = `http://origin.test:${target.port}/`;
    client.send(`GET ${url} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${SMUGGLED}`);
    const far = await new Promise<string>((resolve) => {
      const look = setInterval(() => {
        const [text = ''] = target.received;
        if (!text.includes('inner.test')) return;
        clearInterval(look);
        resolve(text);
      }, 5);
    });
    expect(far).toContain(`Content-Length: ${SMUGGLED.length}\r\n`);
  });

  test('HTTP/1.1 without a Host is refused', async () => {
    const proxy = await startProxyTo(80);
    const client = await RawClient.connect(proxy.port);
    client.send('GET http://origin.test/ HTTP/1.1\r\n\r\n');
    expect((await client.answer()).status).toBe(400);
    expect(proxy.decisions()).toMatchObject([{ reason: 'bad_target' }]);
  });

  test.each(['\r\nX-Injected: 1', '\nX-Injected: 1', '\rX-Injected: 1', '\t', ' x', '\0'])(
    'a target with %j in its path is refused',
    async (injection) => {
      const target = await startAnswering('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      const proxy = await startProxyTo(target.port);
      const client = await RawClient.connect(proxy.port);
      const url = `http://origin.test:${target.port}/${injection}`;
      client.send(`GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect((await client.answer()).status).toBe(400);
      await proxy.stop();
      expect(target.sockets).toHaveLength(0);
    },
  );
});

describe('an answer that two readers could take differently becomes 502', () => {
  test.each([
    ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 3'],
    ['two lengths', 'Content-Length: 3\r\nContent-Length: 5'],
    ['a coding that could not be told on', 'Transfer-Encoding: gzip, chunked'],
    ['a control character', 'X: a\x01b'],
    ['a bare carriage return', 'X: a\rX-Injected: 1'],
  ])('%s', async (_, field) => {
    await expectBadAnswer(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
  });

  test.each([
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['an impossible status', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'],
    ['nothing', ''],
  ])('%s', async (_, answer) => {
    await expectBadAnswer(answer);
  });

  test('a reason phrase is not passed on, so it cannot carry anything', async () => {
    const target = await startAnswering('HTTP/1.1 200 a\x01\x7f\r\nContent-Length: 0\r\n\r\n');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.until('HTTP/1.1 200 OK\r\n');
  });
});

describe('an answer that the target cuts short is not taken for whole', () => {
  const chunk = '5\r\nhello\r\n';

  test.each([
    ['a length, by closing', 'Content-Length: 9\r\n\r\nhello', 'end', '1.1'],
    ['a length, by a reset', 'Content-Length: 9\r\n\r\nhello', 'reset', '1.1'],
    ['chunks, by closing', `Transfer-Encoding: chunked\r\n\r\n${chunk}`, 'end', '1.1'],
    ['chunks, by a reset', `Transfer-Encoding: chunked\r\n\r\n${chunk}`, 'reset', '1.1'],
    ['neither, by a reset', '\r\nhello', 'reset', '1.1'],
    ['chunks for an HTTP/1.0 client', `Transfer-Encoding: chunked\r\n\r\n${chunk}`, 'end', '1.0'],
    ['neither, for an HTTP/1.0 client', '\r\nhello', 'reset', '1.0'],
  ])('with %s', async (_, rest, how, version) => {
    const target = await startAnswering(`HTTP/1.1 200 OK\r\nConnection: close\r\n${rest}`);
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/`;
    client.send(`GET ${url} HTTP/${version}\r\nHost: a\r\n\r\n`);
    await client.until('hello');
    if (how === 'end') target.sockets[0]?.end();
    else target.sockets[0]?.resetAndDestroy();
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(client.received).not.toContain('\r\n0\r\n');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECONNRESET' }]);
  });
});

async function expectBadAnswer(bytes: string): Promise<void> {
  const target = await startAnswering(bytes, 'end');
  const proxy = await startProxyTo(target.port);
  const client = await RawClient.connect(proxy.port);
  client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  const answer = await client.answer();
  expect(answer.status).toBe(502);
  expect(answer.headers.get('x-whisper-proxy-reason')).toBe('connect_failed');
  const [end] = await proxy.ends(1);
  expect(end?.error).toEqual(expect.any(String));
}
