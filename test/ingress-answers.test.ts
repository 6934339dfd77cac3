import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ask, askRaw, startIngress } from './helpers/ingress.ts';
import { startCanned, startUpstream } from './helpers/upstream.ts';

/** What a client gets where whisper answers with these bytes. */
async function answerTo(canned: string, method = 'GET') {
  const { address } = await startCanned(canned);
  const { origin } = await startIngress({ UPSTREAM: address });
  return ask(origin, { method });
}

describe('an answer passes as it is', () => {
  test('compressed', async () => {
    const packed = gzipSync('text');
    const { address } = await startUpstream((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const { headers, body } = await ask(origin, { headers: { 'accept-encoding': 'gzip' } });
    expect(headers['content-encoding']).toBe('gzip');
    expect(body).toEqual(packed);
  });

  test('with cookies and other fields that occur twice', async () => {
    const { rawHeaders, headers } = await answerTo(
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nVary: a\r\nVary: b\r\n' +
        'Content-Length: 0\r\n\r\n',
    );
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2; Path=/']);
    expect(rawHeaders.filter((_, index) => /^vary$/i.test(rawHeaders[index - 1] ?? ''))).toEqual([
      'a',
      'b',
    ]);
  });

  test('to HEAD, with the length of what GET would give', async () => {
    const { status, headers, body } = await answerTo(
      'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: "x"\r\n\r\n',
      'HEAD',
    );
    expect({ status, length: headers['content-length'], etag: headers.etag }).toEqual({
      status: 200,
      length: '1234',
      etag: '"x"',
    });
    expect(body).toHaveLength(0);
  });

  test('a 304 that tells the length of what it does not bring', async () => {
    const head = 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: "x"\r\n\r\n';
    const { status, headers, body } = await answerTo(head);
    expect([status, headers.etag, body.length]).toEqual([304, '"x"', 0]);
  });

  test.each([204, 304])('without a body: %d', async (code) => {
    const { status, headers, body } = await answerTo(`HTTP/1.1 ${code} X\r\nETag: "x"\r\n\r\n`);
    expect({ status, etag: headers.etag }).toEqual({ status: code, etag: '"x"' });
    expect(body).toHaveLength(0);
  });

  test('in part', async () => {
    const { address } = await startUpstream((request, response) => {
      const fields = { 'content-range': 'bytes 2-3/9', 'accept-ranges': 'bytes' };
      response.writeHead(request.headers.range === 'bytes=2-3' ? 206 : 200, fields).end('xx');
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const { status, headers } = await ask(origin, { headers: { range: 'bytes=2-3' } });
    expect({ status, range: headers['content-range'] }).toEqual({
      status: 206,
      range: 'bytes 2-3/9',
    });
  });

  test.each([200, 201, 207, 299, 400, 401, 404, 418, 429, 500, 503, 599])(
    'with its status %d',
    async (code) => {
      const { status, body } = await answerTo(`HTTP/1.1 ${code} X\r\nContent-Length: 2\r\n\r\nok`);
      expect({ status, body: String(body) }).toEqual({ status: code, body: 'ok' });
    },
  );

  test('after interim ones', async () => {
    const { status, body } = await answerTo(
      'HTTP/1.1 103 Early Hints\r\nLink: <//evil.example>\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    );
    expect({ status, body: String(body) }).toEqual({ status: 200, body: 'ok' });
  });

  test('with bytes beyond ASCII, and without a type that it does not have', async () => {
    const { address } = await startCanned(
      'HTTP/1.1 200 OK\r\nX-Name: Bj\xc3\xb8rn\r\nContent-Length: 2\r\n\r\nok',
    );
    const { port } = await startIngress({ UPSTREAM: address });
    const answer = await askRaw(port, 'GET / HTTP/1.0\r\n\r\n');
    expect(answer).toMatch(/\r\nx-name: Bj\xc3\xb8rn\r\n/i);
    expect(answer).not.toMatch(/content-type/i);
  });

  test('with fields that are named like the properties of an object', async () => {
    const { status, rawHeaders } = await answerTo(
      'HTTP/1.1 200 OK\r\n__proto__: 1\r\nconstructor: 2\r\nhasOwnProperty: 3\r\ntoString: 4\r\n' +
        'X-Constructor: 5\r\nContent-Length: 0\r\n\r\n',
    );
    expect(status).toBe(200);
    // Nobody knows what they are for, so they end here.
    expect(rawHeaders.join()).not.toMatch(/proto|,constructor|own|string/i);
    expect(rawHeaders.join()).toMatch(/x-constructor,5/);
  });
});

describe('an answer that is none becomes 502', () => {
  test.each([
    ['a header of 70 KB', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`],
    ['a header without an end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20_000)}`],
    ['a header of too many fields', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(1_001)}\r\n`],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'],
    [
      'length and coding',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx',
    ],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
    ['a field without a name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n'],
    [
      'an unasked change of protocols',
      'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    ],
    ['a status of no class', 'HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n'],
    ['half a header', 'HTTP/1.1 200 OK\r\nX: '],
    ['nothing', ''],
  ])('%s', async (_, canned) => {
    const { status, headers, body } = await answerTo(canned);
    expect(status).toBe(502);
    expect(headers['proxy-status']).toMatch(/^whisper-proxy; error=/);
    expect(String(body)).toMatch(/^whisper-proxy: [^\n]*\.\n$/);
  });
});
