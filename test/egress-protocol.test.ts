import { describe, expect, test } from 'vitest';
import { startAnswering, startTarget } from './helpers/origin.ts';
import { soon, startProxyTo } from './helpers/proxy.ts';
import { connectTo, RawClient } from './helpers/raw-client.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\n';

/** An origin with one answer to everything, a proxy before it, and a client of that. */
async function start(answer: string, then: 'end' | 'wait' = 'wait') {
  const target = await startAnswering(answer, then);
  const proxy = await startProxyTo(target.port);
  const client = await RawClient.connect(proxy.port);
  const url = `http://origin.test:${target.port}`;
  const request = (fields = '', method = 'GET', version = '1.1') =>
    `${method} ${url}/ HTTP/${version}\r\nHost: a\r\n${fields}\r\n`;
  return { target, proxy, client, url, request };
}

describe('an answer ends where it has to, whatever the target sends behind it (RFC 9112, section 6.3)', () => {
  const body = '\r\nContent-Length: 2\r\n\r\nok';
  const chunks = '\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n';

  test.each([
    ['HEAD', `HTTP/1.1 200 OK${body}`, /^HTTP\/1\.1 200 OK\r\nContent-Length: 2\r\n/],
    ['HEAD', `HTTP/1.1 200 OK${chunks}`, /^HTTP\/1\.1 200 OK\r\n/],
    [
      'HEAD',
      `HTTP/1.1 404 Not Found${body}${'x'.repeat(100_000)}`,
      /^HTTP\/1\.1 404 Not Found\r\n/,
    ],
    [
      'GET',
      `HTTP/1.1 204 No Content${body}`,
      /^HTTP\/1\.1 204 No Content\r\n(?!.*Content-Length)/s,
    ],
    ['GET', `HTTP/1.1 204 No Content${chunks}`, /^HTTP\/1\.1 204 No Content\r\n/],
    [
      'GET',
      `HTTP/1.1 304 Not Modified${body}`,
      /^HTTP\/1\.1 304 Not Modified\r\nContent-Length: 2\r\n/,
    ],
    ['GET', `HTTP/1.1 304 Not Modified${chunks}`, /^HTTP\/1\.1 304 Not Modified\r\n/],
  ])('%s, and %j', async (method, answer, expected) => {
    const { client, request, proxy } = await start(answer);
    client.send(request('', method));
    await client.until('\r\n\r\n');
    // The client's connection can still be used.
    client.send(request('', 'CONNECT').replace(/CONNECT http:\/\/\S+/, 'CONNECT denied.test:443'));
    await client.until('403 ');
    const [first = ''] = client.received.split('HTTP/1.1 403');
    expect(first).toMatch(expected);
    expect(first).toMatch(/^[^\r]*\r\n(?:[^\r]+\r\n)*\r\n$/);
    expect(first).not.toMatch(/transfer-encoding/i);
    expect((await proxy.ends(1))[0]).not.toHaveProperty('error');
  });

  test.each([
    ['the length, and more', `${OK}more`],
    ['the length, and another answer', `${OK}HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad`],
    ['the chunks, and more', `HTTP/1.1 200 OK${chunks}more`],
  ])('%s', async (_, answer) => {
    const { client, request, proxy } = await start(answer);
    await client.send(request()).until('ok');
    await client.send(request()).until('ok');
    await proxy.ends(1);
    expect(client.received).not.toMatch(/more|bad/);
    expect(client.ended).toBeNull();
  });

  test('an answer to an upload that the target does not read to its end', async () => {
    const target = await startTarget((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig');
        setTimeout(() => socket.resetAndDestroy(), 100);
      });
    });
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    const url = `http://origin.test:${target.port}/`;
    client.send(`POST ${url} HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\nbegin`);
    expect(await client.answer()).toMatchObject({ status: 413, body: 'big' });
  });
});

describe('an answer that was not asked for, or is none, becomes 502', () => {
  test.each([
    ['101', `${SWITCH}\r\n`],
    ['101 with Upgrade', `${SWITCH}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`],
    ['101 with a body', `${SWITCH}Content-Length: 2\r\n\r\nok`],
    [
      'HTTP/1.0 with chunks',
      OK.replace('1.1', '1.0').replace('Content-Length: 2', 'Transfer-Encoding: chunked'),
    ],
    ['HTTP/0.9', OK.replace('1.1', '0.9')],
    ['HTTP/2.0', OK.replace('1.1', '2.0')],
    ['ICY', OK.replace('HTTP/1.1', 'ICY')],
    ['a folded line', OK.replace('\r\n\r\n', '\r\nX: a\r\n b\r\n\r\n')],
    ['informational answers without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
  ])('%s', async (_, answer) => {
    const { client, request, proxy } = await start(answer);
    for (const fields of ['', 'Connection: Upgrade\r\nUpgrade: websocket\r\n']) {
      const { status, body } = await client.send(request(fields)).answer();
      expect([status, body]).toEqual([502, expect.stringContaining('did not answer properly')]);
    }
    expect(await proxy.ends(1)).toMatchObject([{ error: expect.any(String) }]);
  });

  test('a few informational answers are discarded', async () => {
    const some = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n';
    const { client, request } = await start(some + OK);
    expect(await client.send(request()).answer()).toMatchObject({ status: 200, body: 'ok' });
    expect(client.received).toBe('');
  });

  test('trailers of a request and of an answer are left out', async () => {
    const chunks = '2\r\nok\r\n0\r\nX-End: 1\r\n\r\n';
    const coding = 'Transfer-Encoding: chunked\r\nTrailer: X-End\r\n';
    const { client, request, target } = await start(`HTTP/1.1 200 OK\r\n${coding}\r\n${chunks}`);
    await client.send(`${request(coding, 'POST')}${chunks}`).until('0\r\n\r\n');
    expect(client.received).not.toMatch(/x-end|trailer/i);
    await soon(() => expect(target.received[0]).toMatch(/0\r\n\r\n$/));
    expect(target.received[0]).not.toMatch(/x-end|trailer/i);
  });
});

describe('a request that cannot be relied on ends its connection, and nothing behind it is done', () => {
  test.each([
    [
      'HTTP/1.0 with chunks',
      400,
      'Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n',
      'POST',
      '1.0',
    ],
    [
      'HTTP/1.0 with chunks and a length',
      400,
      'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
      'POST',
      '1.0',
    ],
    [
      'a coding that could not be told on',
      501,
      'Transfer-Encoding: gzip, chunked\r\n',
      'POST',
      '1.1',
    ],
    ['the same by HEAD', 501, 'Transfer-Encoding: gzip, chunked\r\n', 'HEAD', '1.1'],
    ['two Hosts', 400, 'Host: b\r\nContent-Length: 5\r\n', 'POST', '1.1'],
  ])('%s: %i', async (_, status, fields, method, version) => {
    const { client, request, proxy, target } = await start(OK);
    client.send(`${request(fields, method, version)}0\r\n\r\n${request()}`);
    await client.untilEnded();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(client.received).toMatch(/\r\nConnection: close\r\n/);
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    if (method === 'HEAD') expect(client.received).toMatch(/\r\n\r\n$/);
    for (const line of proxy.decisions()) expect(line.reason).toBe('bad_target');
    await proxy.stop();
    expect(target.sockets).toHaveLength(0);
  });

  test('behind a request that waits for its answer, that answer comes first', async () => {
    const { client, request, proxy, target } = await start(OK);
    const bad = request('Transfer-Encoding: gzip, chunked\r\n', 'POST');
    client.send(`${request()}${bad}0\r\n\r\n${request()}`);
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nokHTTP\/1\.1 501 /);
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(2);
    await proxy.stop();
    expect(target.sockets).toHaveLength(1);
  });

  test.each(['SETUP', 'DESCRIBE', 'PLAY', 'TEARDOWN', 'GET_PARAMETER', 'SOURCE'])(
    '%s is no method of HTTP',
    async (method) => {
      for (const protocol of ['RTSP/1.0', 'RTSP/1.1', 'ICE/1.0', 'HTTP/1.1']) {
        const { client, request, target } = await start(OK);
        client.send(request('', method).replace('HTTP/1.1', protocol));
        expect((await client.answer()).status).toBe(400);
        expect(target.sockets).toHaveLength(0);
      }
    },
  );
});

describe('Connection: close', () => {
  test.each(['\r\n', 'garbage', 'GET http://other.test/ HTTP/1.1\r\nHost: a\r\n\r\n'])(
    'gets its answer, though %j comes behind it',
    async (more) => {
      const { client, request, proxy } = await start(OK);
      client.send(`${request('Connection: close\r\n')}${more}`);
      expect(await client.untilEnded()).toBe('end');
      expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/);
      expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
    },
  );

  test.each(['\r\nkeep-alive', 'close'])(
    'is what HTTP/1.0 means without keep-alive',
    async (connection) => {
      const { client, request } = await start(OK);
      const fields = connection === 'close' ? '' : 'Connection: keep-alive\r\n';
      client.send(request(fields, 'GET', '1.0'));
      await client.until('ok');
      if (connection === 'close') expect(await client.untilEnded()).toBe('end');
      else
        expect(await client.send(request(fields, 'GET', '1.0')).answer()).toMatchObject({
          status: 200,
        });
    },
  );
});

describe('an upgrade that nobody here knows', () => {
  test.each([
    [
      'h2c',
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n',
    ],
    ['WebSocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'],
    ['TLS', 'Connection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n'],
  ])('%s is ignored, and the client is told that nothing behind it was read', async (_, fields) => {
    const { client, request, target } = await start(OK);
    client.send(request(fields) + request());
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toMatch(
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n(?:.*\r\n)*\r\nok$/,
    );
    expect(target.sockets).toHaveLength(1);
    expect(target.received[0]).not.toMatch(/upgrade|http2-settings/i);
  });

  test('with a body is relayed with it', async () => {
    const { client, request, target } = await start(OK);
    const fields = 'Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n';
    client.send(`${request(fields, 'POST')}body${request()}`);
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toMatch(/\r\n\r\nok$/);
    expect(target.received).toEqual([expect.stringMatching(/\r\n\r\nbody$/)]);
  });
});

describe('CONNECT behind another request of its connection', () => {
  test.each(['EGRESS_LISTEN', 'EGRESS_HTTP_LISTEN'])(
    'that has no answer yet: nothing is put into that answer (%s)',
    async (variable) => {
      let answer: () => void = () => undefined;
      const target = await startTarget((socket) => {
        answer = () => socket.write(OK);
      });
      const proxy = await startProxyTo(target.port, { EGRESS_HTTP_LISTEN: '127.0.0.1:0' });
      const isTransparent = variable === 'EGRESS_HTTP_LISTEN';
      const client = await RawClient.connect(isTransparent ? proxy.ports.http : proxy.port);
      const place = `origin.test:${target.port}`;
      const get = isTransparent ? 'GET /' : `GET http://${place}/`;
      client.send(`${get} HTTP/1.1\r\nHost: ${place}\r\n\r\n${connectTo(place)}secret`);
      expect(await client.untilEnded()).toBe('ECONNRESET');
      answer();
      expect(client.received).toBe('');
      await soon(() =>
        expect(proxy.decisions()).toContainEqual(
          expect.objectContaining({ decision: 'deny', reason: 'bad_target', method: 'CONNECT' }),
        ),
      );
      await proxy.stop();
      expect(target.received.join('')).not.toContain('secret');
    },
  );

  test('that has its answer is an ordinary one', async () => {
    const { client, request, target, proxy } = await start(OK);
    await client.send(request()).until('ok');
    await client.send(connectTo(`origin.test:${target.port}`)).until('200 Connection established');
    await client
      .send('GET /\r\n\r\n')
      .until('okHTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK');
    expect(proxy.decisions()).toMatchObject([{ via: 'http' }, { via: 'connect' }]);
  });
});

describe('OPTIONS of a server as a whole (RFC 9112, section 3.2.4)', () => {
  test.each([
    ['EGRESS_LISTEN', (port: number) => `http://origin.test:${port}`, '*'],
    ['EGRESS_LISTEN', (port: number) => `http://origin.test:${port}/`, '/'],
    ['EGRESS_LISTEN', (port: number) => `http://origin.test:${port}?`, '/?'],
    ['EGRESS_HTTP_LISTEN', () => '*', '*'],
    ['EGRESS_HTTP_LISTEN', () => '/', '/'],
  ])('%s: %s', async (variable, form, expected) => {
    const target = await startAnswering(OK);
    const proxy = await startProxyTo(target.port, { EGRESS_HTTP_LISTEN: '127.0.0.1:0' });
    const port = variable === 'EGRESS_LISTEN' ? proxy.port : proxy.ports.http;
    const client = await RawClient.connect(port);
    const host = `Host: origin.test:${target.port}`;
    client.send(`OPTIONS ${form(target.port)} HTTP/1.1\r\n${host}\r\n\r\n`);
    expect((await client.answer()).status).toBe(200);
    expect(target.received[0]).toMatch(`OPTIONS ${expected} HTTP/1.1\r\n`);
  });
});
