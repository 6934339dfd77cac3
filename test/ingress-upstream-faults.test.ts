import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { UpstreamSocket } from '../src/net/upstream-socket.ts';
import { ask, open, readUntil, startIngress } from './helpers/ingress.ts';
import { readRest } from './helpers/ingress-websocket.ts';
import { startProxy } from './helpers/proxy.ts';
import { scrape } from './helpers/scrape.ts';
import { startCanned, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;
const REQUESTS = 'whisper_proxy_ingress_requests_total';

type Leave = (socket: Socket) => void;

const reset: Leave = (socket) => void socket.resetAndDestroy();
const resetLater: Leave = (socket) => void setTimeout(() => socket.resetAndDestroy(), 50);
const close: Leave = (socket) => void socket.end();

/** Whisper writes these bytes and leaves. @returns what a client reads, and how it ends. */
async function cutOff(answer: string, leave: Leave, request: string) {
  const { address } = await startRawUpstream((socket) => {
    socket.write(answer, 'latin1', () => leave(socket));
  });
  const { ports } = await startProxy({ UPSTREAM: address });
  const where = { host: '127.0.0.1', port: ports.ingress };
  // Of Node 20's own socket nobody learns that a reset came with the last bytes.
  const client = new UpstreamSocket(where).connect(where);
  client.write(request);
  let text = '';
  client.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const end = await new Promise<string | undefined>((resolve) => {
    client.once('end', () => resolve('FIN'));
    client.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
  client.destroy();
  const counted = async () =>
    (await scrape(ports.admin)).find(REQUESTS).flatMap(({ labels, value }) => {
      return value === 0 ? [] : [`${labels.status}`];
    });
  await expect.poll(counted, { timeout: 5_000 }).not.toEqual([]);
  return { text, end, counted: await counted() };
}

const HEAD = 'HTTP/1.1 200 OK\r\n';
const KINDS: [string, string][] = [
  ['without a length', `${HEAD}\r\nhello`],
  ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nhello'],
  ['with Connection: close', `${HEAD}Connection: close\r\n\r\nhello`],
  ['of a length', `${HEAD}Content-Length: 9\r\n\r\nhello`],
  ['in chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`],
  ['within a chunk', `${HEAD}Transfer-Encoding: chunked\r\n\r\n9\r\nhello`],
  ['before the trailer', `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n`],
];
const CUTS: [string, string, string, Leave][] = [
  ...KINDS.flatMap(([kind, answer]): [string, string, string, Leave][] => [
    [kind, 'a reset', answer, reset],
    [kind, 'a reset later', answer, resetLater],
  ]),
  ...KINDS.slice(3).map(([kind, answer]): [string, string, string, Leave] => {
    return [kind, 'an early end', answer, close];
  }),
  [
    'in chunks',
    'a broken chunk',
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n`,
    () => undefined,
  ],
];

describe('an answer that whisper cuts off is not taken for whole', () => {
  test.each(CUTS)('%s, by %s', async (_kind, _cut, answer, leave) => {
    const modern = await cutOff(answer, leave, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    // Without its last chunk, or short of its length (RFC 9112, section 8); or none at all.
    expect(modern.text).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(['502', 'cut_off']).toContain(modern.counted[0]);
    if (modern.text.includes('Transfer-Encoding: chunked'))
      expect(modern.counted).toEqual(['cut_off']);
    const old = await cutOff(answer, leave, 'GET / HTTP/1.0\r\n\r\n');
    const isFramed = /content-length/i.test(old.text);
    if (old.text !== '') expect(old.end).toBe(isFramed ? 'FIN' : 'ECONNRESET');
    expect(['502', 'cut_off']).toContain(old.counted[0]);
  });

  test.each([
    ['without a length', `${HEAD}\r\nhello`],
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nhello'],
  ])('but one %s that ends in order is', async (_, canned) => {
    for (const half of [true, false]) {
      const { address } = await startRawUpstream((socket) => {
        if (half) socket.end(canned);
        else socket.write(canned, () => socket.destroy());
      });
      const { port, origin } = await startIngress({ UPSTREAM: address });
      expect(String((await ask(origin)).body)).toBe('hello');
      const client = open(port);
      client.write('GET / HTTP/1.0\r\n\r\n');
      expect(await readRest(client)).toMatch(/\r\n\r\nhello$/);
    }
  });
});

describe('informational answers end here', () => {
  const GO_ON = 'HTTP/1.1 100 Continue\r\n\r\n';
  const PROCESSING = 'HTTP/1.1 102 Processing\r\n\r\n';
  const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: <//evil.example>\r\n\r\n';
  const OK = `${HEAD}Content-Length: 2\r\n\r\nok`;

  test.each([
    ['100', GO_ON],
    ['102', PROCESSING],
    ['103', HINTS],
    ['199', 'HTTP/1.1 199 X\r\n\r\n'],
    ['several', GO_ON + HINTS + PROCESSING + GO_ON],
    ['hundreds', PROCESSING.repeat(900)],
  ])('%s', async (_, before) => {
    const { address } = await startCanned(`${before}${OK}`);
    const { port } = await startIngress({ UPSTREAM: address });
    for (const method of ['GET', 'POST']) {
      const client = open(port);
      client.write(`${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(await readRest(client)).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/);
    }
  });

  test.each([
    ['without end', PROCESSING.repeat(1_001) + OK, 'has more than 1000 informational ones'],
    ['101', 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n', 'unasked'],
    [
      '101 for a WebSocket',
      'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      'unasked',
    ],
    ['101 that names nothing', 'HTTP/1.1 101 X\r\nContent-Length: 0\r\n\r\n', 'unasked'],
  ])('but %s is 502', async (_, canned, sentence) => {
    const { address } = await startCanned(canned);
    const { origin } = await startIngress({ UPSTREAM: address });
    const { status, body } = await ask(origin);
    expect(status).toBe(502);
    expect(String(body)).toContain(sentence);
  });
});

describe('a transfer coding that would be lost on the way', () => {
  test.each([
    ['gzip', 'gzip'],
    ['gzip, chunked', 'gzip, chunked'],
    ['chunked, gzip', 'chunked, gzip'],
    ['two fields', 'gzip\r\nTransfer-Encoding: chunked'],
    ['a blank within', 'chun ked'],
    ['nothing', ''],
    ['identity', 'identity'],
    ['chunked twice', 'chunked, chunked'],
    ['a parameter', 'chunked;x=y'],
    ['nothing', ''],
  ])('in an answer is 502: %s', async (_, coding) => {
    const { address } = await startCanned(
      `${HEAD}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    );
    const { origin } = await startIngress({ UPSTREAM: address });
    expect((await ask(origin)).status).toBe(502);
  });

  test('in an answer of HTTP/1.0 is 502', async () => {
    const { address } = await startCanned(
      'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    );
    const { origin } = await startIngress({ UPSTREAM: address });
    expect((await ask(origin)).status).toBe(502);
  });

  test.each([
    ['gzip, chunked', 501, 'gzip, chunked'],
    ['GZIP,Chunked', 501, 'GZIP,Chunked'],
    ['two fields', 501, 'deflate\r\nTransfer-Encoding: chunked'],
    ['identity, chunked', 501, 'identity, chunked'],
    // Some versions of Node's parser refuse these two themselves.
    ['gzip', '(?:400|501)', 'gzip'],
    ['chunked, gzip', '(?:400|501)', 'chunked, gzip'],
    ['chunked and a length', 400, 'chunked\r\nContent-Length: 5'],
  ])('in a request is refused and reaches nobody: %s', async (_, status, coding) => {
    let reached = 0;
    const { address } = await startUpstream((_request, response) => {
      reached += 1;
      response.end();
    });
    const { port, lines } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: ${coding}\r\n\r\n` +
        '5\r\nhello\r\n0\r\n\r\n',
    );
    expect(await readRest(client)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(new Set(lines().map(({ reason }) => reason))).toEqual(new Set(['bad_target']));
    expect(reached).toBe(0);
  });

  test('and any in a request of HTTP/1.0 is refused', async () => {
    const { port } = await startIngress({ UPSTREAM: 'embedded' });
    const client = open(port);
    client.write('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
    expect(await readRest(client)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test.each(['chunked', 'Chunked', ' chunked '])('but %j passes, both ways', async (coding) => {
    const { address } = await startRawUpstream((socket) => {
      socket.end(`${HEAD}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: ${coding}\r\n\r\n` +
        '5\r\nhello\r\n0\r\n\r\n',
    );
    expect(await readRest(client)).toMatch(/^HTTP\/1\.1 200 [\s\S]*hello/);
  });
});

describe('whisper closes connections', () => {
  test.each([
    ['in order, behind each answer', (socket: Socket) => void socket.end()],
    [
      'by a reset, a moment later',
      (socket: Socket) => void setTimeout(() => socket.resetAndDestroy(), 1),
    ],
    [
      'by a reset, when a second request comes',
      (socket: Socket) => void socket.once('data', () => socket.resetAndDestroy()),
    ],
  ])('%s: no request is lost by it', async (_, leave) => {
    const { address } = await startRawUpstream((socket) => {
      socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`, () => leave(socket));
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    for (let count = 0; count < 30; count += 1) {
      const body = count % 2 === 0 ? undefined : 'wave';
      const { status } = await ask(origin, { method: body ? 'POST' : 'GET' }, body);
      expect(status).toBe(200);
      await delay(count % 3);
    }
  });
});

describe('whisper answers before the end of an upload', () => {
  const answers: [string, string, Leave][] = [
    ['and closes', `HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig`, (socket) => socket.destroy()],
    [
      'says so, and closes',
      'HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig',
      (socket) => socket.destroy(),
    ],
    ['and resets', 'HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig', reset],
    ['and stays', 'HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig', () => undefined],
    ['and reads on', 'HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig', (socket) => socket.resume()],
    [
      'in chunks, and resets',
      'HTTP/1.1 413 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n',
      reset,
    ],
    ['with an end, and closes', 'HTTP/1.1 413 X\r\n\r\nbig', (socket) => socket.end()],
  ];

  test.each(answers)('%s', async (_, answer, leave) => {
    for (const patience of [0, 5, 50]) {
      const { address } = await startRawUpstream((socket) => {
        socket.pause();
        setTimeout(() => socket.write(answer, () => leave(socket)), patience);
      });
      const { port } = await startIngress({ UPSTREAM: address });
      const client = open(port);
      client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${500 * MIB}\r\n\r\n`);
      const pump = () => {
        if (!client.destroyed) client.write(Buffer.alloc(65_536), (error) => error || pump());
      };
      pump();
      expect(await readUntil(client, 'big')).toMatch(/^HTTP\/1\.1 413 /);
      client.destroy();
    }
  });

  test('and the upload that goes on is thrown away for a moment only', async () => {
    const { address } = await startCanned('HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbig');
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.resume().write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${500 * MIB}\r\n\r\n`);
    const isLetGo = () => {
      client.write('more');
      expect(client.closed).toBe(true);
    };
    await vi.waitFor(isLetGo, { timeout: 10_000, interval: 100 });
  });
});

describe('whisper sends more than its answer', () => {
  test.each([
    ['HEAD', 'HEAD', `${HEAD}Content-Length: 5\r\n\r\nhello`, 200],
    ['204', 'GET', 'HTTP/1.1 204 X\r\n\r\nhello', 204],
    ['204 with a length', 'GET', 'HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello', 204],
    ['304', 'GET', 'HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello', 304],
    ['beyond its length', 'GET', `${HEAD}Content-Length: 2\r\n\r\nokHTTP/1.1 500 X\r\n\r\n`, 200],
  ])('%s: it is thrown away', async (_, method, canned, expected) => {
    const { address } = await startCanned(canned);
    const { origin } = await startIngress({ UPSTREAM: address });
    const { status, body } = await ask(origin, { method });
    expect([status, String(body)]).toEqual([
      expected,
      expected === 200 && method === 'GET' ? 'ok' : '',
    ]);
  });
});

describe('headers', () => {
  test('of 60 KB pass both ways', async () => {
    const { address } = await startUpstream((request, response) => {
      response.writeHead(200, { 'x-long': request.headers['x-long'] ?? '' }).end('ok');
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const long = 'x'.repeat(60_000);
    const { status, headers } = await ask(origin, {
      headers: { 'x-long': long },
      maxHeaderSize: 2 ** 17,
    });
    expect([status, headers['x-long']]).toEqual([200, long]);
  });

  test('of 4,000 empty fields of one name cost a moment, in both directions', async () => {
    const fields = 'X:\r\n'.repeat(4_000);
    const { address } = await startCanned(`${HEAD}${fields}Content-Length: 2\r\n\r\nok`);
    const { port, origin } = await startIngress({ UPSTREAM: address });
    const { status, body } = await ask(origin);
    expect([status, String(body)]).toEqual([
      502,
      "whisper-proxy: whisper's answer cannot be passed on: it has more than 1000 fields.\n",
    ]);
    const client = open(port);
    client.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n`);
    expect(await readRest(client)).toMatch(/^HTTP\/1\.1 431 [\s\S]*more than 1000 fields\.\n$/);
  });
});

test('OPTIONS * goes to whisper as it is', async () => {
  const { address } = await startUpstream((request, response) => {
    response.end(`${request.method} ${request.url}`);
  });
  const { port } = await startIngress({ UPSTREAM: address });
  const client = open(port);
  client.write('OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  expect(await readRest(client)).toContain('OPTIONS *');
});
