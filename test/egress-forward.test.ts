import { describe, expect, test } from 'vitest';
import { startAnswering, startHttp } from './helpers/origin.ts';
import { soon, startProxyTo } from './helpers/proxy.ts';
import { ask, RawClient } from './helpers/raw-client.ts';

const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

/** What a target is sent, when the proxy is sent this. @returns the lines of the header. */
async function passOn(fields: string, method = 'GET', authority?: string): Promise<string[]> {
  const target = await startAnswering(EMPTY);
  const proxy = await startProxyTo(target.port);
  const url = `http://${authority ?? 'origin.test'}:${target.port}/a?b=c`;
  const { status } = await ask(proxy.port, `${method} ${url} HTTP/1.1\r\n${fields}\r\n`);
  expect(status).toBe(200);
  const [head = ''] = (target.received[0] ?? '').split('\r\n\r\n');
  return head.replaceAll(`:${target.port}`, ':PORT').split('\r\n');
}

/** What a client gets, when the target answers this. */
async function passBack(answer: string, request = 'GET', version = '1.1'): Promise<RawClient> {
  const target = await startAnswering(answer, 'end');
  const proxy = await startProxyTo(target.port);
  const url = `http://origin.test:${target.port}/`;
  const client = await RawClient.connect(proxy.port);
  client.send(`${request} ${url} HTTP/${version}\r\nHost: a\r\nConnection: close\r\n\r\n`);
  await client.untilEnded();
  return client;
}

describe('a request in absolute-form', () => {
  test('becomes origin-form, and its Host comes from the target whatever it said', async () => {
    const [line, host] = await passOn('Host: evil.test\r\n');
    expect([line, host]).toEqual(['GET /a?b=c HTTP/1.1', 'Host: origin.test:PORT']);
  });

  test('has one Host only, and in canonical form', async () => {
    const lines = await passOn('Host: a\r\n', 'GET', 'ORIGIN.test.');
    expect(lines.filter((line) => /^host:/i.test(line))).toEqual(['Host: origin.test:PORT']);
  });

  test('loses what was meant for the proxy alone', async () => {
    const lines = await passOn(
      [
        'Host: a',
        'Connection: close, X-Private, Host',
        'X-Private: 1',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: keep-alive',
        'Proxy-Authorization: Basic c2VjcmV0',
        'Proxy-Anything: 1',
        'TE: trailers',
        'Trailer: X-End',
        'Upgrade: websocket, h2c',
        'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
        'X-Kept: first',
        'x-kept: second',
        'Cookie: a=b\r\n',
      ].join('\r\n'),
    );
    expect(lines.slice(2)).toEqual([
      'X-Kept: first',
      'x-kept: second',
      'Cookie: a=b',
      expect.stringMatching(/^Via: 1\.1 whisper-proxy-[0-9a-f]{8}$/),
      'Connection: close',
    ]);
  });

  test.each([
    ['GET', []],
    ['DELETE', []],
    ['POST', ['Content-Length: 0']],
    ['PATCH', ['Content-Length: 0']],
    ['PROPFIND', ['Content-Length: 0']],
  ])('%s without a body stays without one', async (method, framing) => {
    const lines = await passOn('Host: a\r\n', method);
    expect(lines.filter((line) => /^(content-length|transfer-encoding)/i.test(line))).toEqual(
      framing,
    );
  });

  test('keeps its framing even if Connection names it', async () => {
    const lines = await passOn('Host: a\r\nConnection: Content-Length\r\nContent-Length: 0\r\n');
    expect(lines).toContain('Content-Length: 0');
  });

  test('is decided anew for each host on one connection', async () => {
    const target = await startHttp((request, response) => response.end(request.headers.host));
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const statuses = [];
    for (const host of ['origin.test', 'evil.test', '127.0.0.1', 'evil.test', 'origin.test']) {
      client.send(`GET http://${host}:${target.port}/ HTTP/1.1\r\nHost: origin.test\r\n\r\n`);
      statuses.push((await client.answer()).status);
    }
    expect(statuses).toEqual([200, 403, 200, 403, 200]);
    expect(target.sockets).toHaveLength(3);
  });

  test('is decided anew when pipelined, and answered in order', async () => {
    const target = await startHttp((request, response) => response.end(request.url));
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const urls = ['origin.test', 'evil.test', '127.0.0.1'].map(
      (host, index) => `http://${host}:${target.port}/${index}`,
    );
    client.send(urls.map((url) => `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
    const answers = [await client.answer(), await client.answer(), await client.answer()];
    expect(answers.map(({ status }) => status)).toEqual([200, 403, 200]);
    expect([answers[0]?.body, answers[2]?.body]).toEqual(['/0', '/2']);
  });
});

describe('the answer', () => {
  test('loses what was meant for the proxy alone, and gets a Via', async () => {
    const fields = [
      'Connection: close, X-Private',
      'X-Private: 1',
      'Keep-Alive: timeout=5',
      'Proxy-Authenticate: Basic',
      'Proxy-Status: someone; error=http_request_denied',
      'Upgrade: h2c',
      'Trailer: X-End',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'Content-Length: 2',
    ].join('\r\n');
    const { received } = await passBack(`HTTP/1.1 203 Fine\r\n${fields}\r\n\r\nok`);
    const [head = '', body] = received.split('\r\n\r\n');
    expect(body).toBe('ok');
    const own = /^(date|connection|keep-alive: timeout=\d+$)/i;
    expect(head.split('\r\n').filter((line) => !own.test(line))).toEqual([
      'HTTP/1.1 203 Non-Authoritative Information',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'Content-Length: 2',
      expect.stringMatching(/^Via: 1\.1 whisper-proxy-[0-9a-f]{8}$/),
    ]);
    expect(head).not.toMatch(/x-private/i);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n', 'Content-Length: 1000'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'HTTP/1.1 200 OK'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 'HTTP/1.1 204 No Content'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 'ETag: "a"'],
  ])('to %s has no body when there is none: %j', async (method, answer, line) => {
    const { received } = await passBack(answer, method);
    expect(received).toContain(`${line}\r\n`);
    expect(received.endsWith('\r\n\r\n')).toBe(true);
    expect(received.split('\r\n\r\n')).toHaveLength(2);
  });

  test('may use bytes above ASCII in its fields', async () => {
    const { received } = await passBack(
      'HTTP/1.1 200 OK\r\nX-Name: \xc5\x81\xc3\xa4.wav\r\nContent-Length: 0\r\n\r\n',
    );
    expect(received).toContain('X-Name: \xc5\x81\xc3\xa4.wav\r\n');
  });

  test('reaches an HTTP/1.0 client without chunks', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
    const client = await passBack(answer, 'GET', '1.0');
    expect(client.received.endsWith('\r\n\r\nhello')).toBe(true);
    expect(client.ended).toBe('end');
  });

  test('is not delayed: its beginning arrives while it goes on', async () => {
    const target = await startAnswering('HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n');
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`GET http://origin.test:${target.port}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.until('data: 1\n\n');
    target.sockets[0]?.write('data: 2\n\n');
    await client.until('data: 2\n\n');
    expect(client.ended).toBeNull();
  });

  test('passes an early 103 over', async () => {
    const { received } = await passBack(
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    );
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received.endsWith('\r\n\r\nok')).toBe(true);
  });
});

describe('an Upgrade', () => {
  test('is passed over: the request goes on as an ordinary one', async () => {
    const lines = await passOn('Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    expect(lines.join('\n')).not.toMatch(/upgrade/i);
  });

  test('that the target makes on its own is a broken answer', async () => {
    const { received } = await passBack(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes',
    );
    expect(received).toMatch(/^HTTP\/1\.1 502 /);
    await soon(() => expect(received).not.toContain('bytes'));
  });
});
