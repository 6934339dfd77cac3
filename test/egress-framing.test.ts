import { describe, expect, test } from 'vitest';
import { startAnswering, startHttp, startServer, startTarget } from './helpers/origin.ts';
import { startProxyTo } from './helpers/proxy.ts';
import { ask, RawClient } from './helpers/raw-client.ts';

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

  describe.each([
    ['a proxy request', 'http', (port: number) => `GET http://origin.test:${port}/`],
    ['a tunnel', 'connect', (port: number) => `CONNECT origin.test:${port}`],
    ['a transparent request', 'transparent_http', () => 'GET /'],
    [
      'a transparent request, absolute',
      'transparent_http',
      (port: number) => `GET http://origin.test:${port}/`,
    ],
  ])('%s', (_, via, line) => {
    test.each([
      ['no Host', ''],
      ['two Hosts', 'Host: origin.test:80\r\nHost: evil.test\r\n'],
      ['the same Host twice', 'Host: origin.test:80\r\nHOST: origin.test:80\r\n'],
      ['two Hosts, the second behind 900 fields', `Host: a\r\n${'a:\r\n'.repeat(900)}Host: b\r\n`],
      ['user information', 'Host: a@origin.test\r\n'],
      ['a list', 'Host: origin.test, evil.test\r\n'],
      ['a list without a space', 'Host: origin.test,evil.test\r\n'],
      ['a space', 'Host: origin.test evil.test\r\n'],
      ['a tab', 'Host: origin.test\tevil.test\r\n'],
      ['a URI', 'Host: http://origin.test\r\n'],
      ['a path', 'Host: origin.test/\r\n'],
      ['an address without brackets', 'Host: ::1\r\n'],
      ['an open bracket', 'Host: [::1\r\n'],
      ['two ports', 'Host: origin.test:80:80\r\n'],
      ['a port that is none', 'Host: origin.test:http\r\n'],
      ['bytes beyond ASCII', 'Host: \xe9.test\r\n'],
      ['a quote', 'Host: "origin.test"\r\n'],
    ])('with %s is refused with 400', async (_what, fields) => {
      const target = await startTarget();
      const proxy = await startProxyTo(target.port, { EGRESS_HTTP_LISTEN: '127.0.0.1:0' });
      const port = via === 'transparent_http' ? proxy.ports.http : proxy.port;
      const answer = await ask(port, `${line(target.port)} HTTP/1.1\r\n${fields}\r\n`);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('x-whisper-proxy-reason')).toBe('bad_target');
      expect(answer.body).toContain(' Host field');
      expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason: 'bad_target', via }]);
      expect(target.sockets).toHaveLength(0);
    });

    test.each([
      ['1001 fields', `Host: a\r\n${'a:\r\n'.repeat(1000)}`],
      ['a second Host behind 2000', `Host: a\r\n${'a:\r\n'.repeat(2000)}Host: b\r\n`],
      ['15,000 fields', `Host: a\r\n${'a:\r\n'.repeat(15_000)}`],
    ])('with %s is refused, and nothing behind it is heard', async (_what, fields) => {
      const target = await startTarget();
      const proxy = await startProxyTo(target.port, { EGRESS_HTTP_LISTEN: '127.0.0.1:0' });
      const port = via === 'transparent_http' ? proxy.ports.http : proxy.port;
      const request = `${line(target.port)} HTTP/1.1\r\n${fields}\r\n`;
      const client = await RawClient.connect(port);
      client.send(request.repeat(5));
      expect(await client.untilEnded()).toBe('end');
      expect(client.received.match(/HTTP\/1\.1 431 /g)).toHaveLength(1);
      const [first, ...others] = proxy.decisions();
      expect(first).toMatchObject({ decision: 'deny', reason: 'bad_target', via });
      expect(others).toEqual([]);
      expect(target.sockets).toHaveLength(0);
    });
  });

  test('a thousand fields pass', async () => {
    const target = await startAnswering('HTTP/1.1 204 No Content\r\n\r\n');
    const proxy = await startProxyTo(target.port);
    const fields = `Host: a\r\n${'a:\r\n'.repeat(999)}`;
    const url = `http://origin.test:${target.port}/`;
    expect((await ask(proxy.port, `GET ${url} HTTP/1.1\r\n${fields}\r\n`)).status).toBe(204);
  });

  test.each([
    ['HTTP/1.0 without Host', 'HTTP/1.0\r\n'],
    ['an empty Host', 'HTTP/1.1\r\nHost:\r\n'],
    ['an empty port', 'HTTP/1.1\r\nHost: origin.test:\r\n'],
    ['another Host than the target', 'HTTP/1.1\r\nHost: evil.test\r\n'],
    ['an address as Host', 'HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n'],
  ])('%s is no fault of a proxy request, whose target counts', async (_, rest) => {
    const target = await startAnswering('HTTP/1.1 204 No Content\r\n\r\n');
    const proxy = await startProxyTo(target.port);
    const answer = await ask(proxy.port, `GET http://origin.test:${target.port}/ ${rest}\r\n`);
    expect(answer.status).toBe(204);
    expect(target.received[0]).toContain(`\r\nHost: origin.test:${target.port}\r\n`);
    expect(target.received[0]?.match(/host:/gi)).toHaveLength(1);
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

  test.each([
    ['neither', '\r\nhello', '1.1'],
    ['neither, for an HTTP/1.0 client', '\r\nhello', '1.0'],
    ['chunks', `Transfer-Encoding: chunked\r\n\r\n${chunk}`, '1.1'],
    ['chunks, for an HTTP/1.0 client', `Transfer-Encoding: chunked\r\n\r\n${chunk}`, '1.0'],
    ['a length', 'Content-Length: 9\r\n\r\nhello', '1.1'],
  ])('with %s, by a reset that comes with the last bytes', async (_, rest, version) => {
    const target = await startServer((socket) => {
      const answer = `HTTP/1.1 200 OK\r\nConnection: close\r\n${rest}`;
      socket.once('data', () => socket.write(answer, () => socket.resetAndDestroy()));
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/${version}\r\nHost: a\r\n\r\n`);
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
