import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { ask, askRaw, open, readUntil, startIngress } from './helpers/ingress.ts';
import { handshake } from './helpers/ingress-websocket.ts';
import { soon } from './helpers/proxy.ts';
import { isMissing } from './helpers/tools.ts';
import { readBody, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;

const upgrade = (protocol: string, start = 'GET //x?y HTTP/1.1', fields = '') =>
  `${start}\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n` +
  `Upgrade: ${protocol}\r\nHTTP2-Settings: AAM\r\n${fields}\r\n`;
const post = (protocol: string, path: string, body: string) =>
  `${upgrade(protocol, `POST ${path} HTTP/1.1`, `Content-Length: ${body.length}\r\n`)}${body}`;

/** An upstream that tells what it got: `METHOD target upgrade …, settings …, N bytes.` */
async function startEcho() {
  const asked: string[] = [];
  const { address } = await startUpstream(async (request, response) => {
    const { upgrade = 'none', 'http2-settings': settings = 'none', connection } = request.headers;
    asked.push(`${request.method} ${request.url}`);
    const { length } = await readBody(request);
    response.end(
      `${request.method} ${request.url} upgrade ${upgrade}, settings ${settings}, ` +
        `connection ${connection}, ${length} bytes.`,
    );
  });
  return { asked, ...(await startIngress({ UPSTREAM: address })) };
}

test.skipIf(isMissing('curl'))('curl --http2 is served, uploads too (needs curl)', async () => {
  const { origin } = await startEcho();
  const curl = async (...args: string[]) => {
    const options = { env: { PATH: process.env.PATH } };
    return (await promisify(execFile)('curl', ['-sS', '--http2', ...args], options)).stdout;
  };
  const rest = 'upgrade none, settings none, connection close';
  expect(await curl(`${origin}/x`)).toBe(`GET /x ${rest}, 0 bytes.`);
  const body = ['--data-binary', 'x'.repeat(100_000)];
  const two = await curl(
    ...body,
    `${origin}/1`,
    '--next',
    '-sS',
    '--http2',
    ...body,
    `${origin}/2`,
  );
  expect(two).toBe(`POST /1 ${rest}, 100000 bytes.POST /2 ${rest}, 100000 bytes.`);
});

describe('an upgrade that is no WebSocket handshake is ignored, and the request relayed', () => {
  const settings = 'upgrade none, settings none, connection close';

  test.each([
    ['h2c', upgrade('h2c'), `GET //x?y ${settings}, 0 bytes.`],
    ['foo/2', upgrade('foo/2'), `GET //x?y ${settings}, 0 bytes.`],
    ['TLS/1.2', upgrade('TLS/1.2'), `GET //x?y ${settings}, 0 bytes.`],
    ['websocket, h2c', upgrade('websocket, h2c'), `GET //x?y ${settings}, 0 bytes.`],
    ['two fields', upgrade('h2c\r\nUpgrade: websocket'), `GET //x?y ${settings}, 0 bytes.`],
    ['h2c with a body', post('h2c', '/x', 'wave'), `POST /x ${settings}, 4 bytes.`],
    ['TLS/1.2 with a body', post('TLS/1.2', '/x', 'wave'), `POST /x ${settings}, 4 bytes.`],
    ['websocket with a body', post('websocket', '/x', 'wave'), `POST /x ${settings}, 4 bytes.`],
    [
      'GET for a websocket with a body',
      `${upgrade('websocket', 'GET /x HTTP/1.1', 'Content-Length: 4\r\n')}wave`,
      `GET /x ${settings}, 4 bytes.`,
    ],
    [
      'POST for a websocket without a body',
      upgrade('websocket', 'POST /x HTTP/1.1'),
      `POST /x ${settings}, 0 bytes.`,
    ],
    [
      'a body in chunks',
      `${upgrade('h2c', 'PUT /x HTTP/1.1', 'Transfer-Encoding: chunked\r\n')}4\r\nwave\r\n0\r\n\r\n`,
      `PUT /x ${settings}, 4 bytes.`,
    ],
    [
      'a body that is held back',
      `${upgrade('h2c', 'POST /x HTTP/1.1', 'Expect: 100-continue\r\nContent-Length: 4\r\n')}wave`,
      `POST /x ${settings}, 4 bytes.`,
    ],
    [
      'Connection: upgrade alone',
      'GET /x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n',
      `GET /x ${settings}, 0 bytes.`,
    ],
    [
      'Upgrade alone',
      'GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n',
      `GET /x ${settings}, 0 bytes.`,
    ],
  ])('%s', async (_, text, answer) => {
    const { port } = await startEcho();
    const client = open(port);
    client.write(text);
    expect(await readUntil(client, ' bytes.')).toContain(answer);
    // The connection goes on.
    client.write('GET /next HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await readUntil(client, ' bytes.')).toContain('GET /next');
  });

  test('of HTTP/1.0, which has no Upgrade', async () => {
    const { port } = await startEcho();
    const answer = await askRaw(port, upgrade('websocket', 'GET /x HTTP/1.0'));
    expect(answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*GET \/x upgrade none/);
  });

  test('with what is pipelined around it, in order', async () => {
    const { port, asked } = await startEcho();
    const client = open(port);
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    client.write(
      [
        ...[get('/1'), post('h2c', '/2', 'wave'), get('/3'), upgrade('h2c', 'GET /4 HTTP/1.1')],
        ...[upgrade('x', 'GET /5 HTTP/1.1'), post('TLS/1.2', '/6', 'wave'), get('/7')],
      ].join(''),
    );
    const answers = await readUntil(client, 'GET /7 upgrade none');
    expect(answers.match(/(?:GET|POST) \/\d/g)).toEqual(asked);
    expect(asked.join()).toBe('GET /1,POST /2,GET /3,GET /4,GET /5,POST /6,GET /7');
  });

  test('a hundred times on one connection, which gathers nothing by it', async () => {
    const { port } = await startEcho();
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    const client = open(port);
    for (let count = 0; count < 100; count += 1) {
      client.write(post('h2c', `/${count}`, 'wave'));
      await readUntil(client, '4 bytes.');
    }
    await delay(10);
    process.removeListener('warning', warn);
    expect(warnings).toEqual([]);
  });

  test('any number of times at once, and the bytes behind are held back', async () => {
    const { address } = await startUpstream((_request, response) => {
      setTimeout(() => response.end('late'), 200);
    });
    const { port, origin } = await startIngress({ UPSTREAM: address });
    const client = open(port).resume();
    const pair = `GET /1 HTTP/1.1\r\nHost: x\r\n\r\n${upgrade('h2c', 'GET /2 HTTP/1.1')}`;
    const mebibyte = Buffer.from(pair.repeat(Math.ceil(MIB / pair.length)));
    const isTaken = () =>
      Promise.race([
        new Promise<boolean>((resolve) => client.write(mebibyte, () => resolve(true))),
        delay(1_000, false),
      ]);
    let taken = 0;
    while (taken < 100 && (await isTaken())) taken += 1;
    // What the system holds back by itself.
    expect(taken).toBeLessThan(20);
    expect((await ask(origin)).status).toBe(200);
  });

  test('with a body of any size, which is held back while whisper does not read', async () => {
    const { port, asked } = await startEcho();
    const client = open(port);
    client.write(upgrade('h2c', 'POST /x HTTP/1.1', `Content-Length: ${64 * MIB}\r\n`));
    for (let sent = 0; sent < 64; sent += 1) {
      if (!client.write(Buffer.alloc(MIB))) await once(client, 'drain');
    }
    expect(await readUntil(client, ' bytes.')).toContain(`, ${64 * MIB} bytes.`);
    expect(asked).toEqual(['POST /x']);

    const { address } = await startRawUpstream((socket) => void socket.pause());
    const deaf = await startIngress({ UPSTREAM: address });
    const stuck = open(deaf.port);
    stuck.write(upgrade('h2c', 'POST /x HTTP/1.1', `Content-Length: ${500 * MIB}\r\n`));
    let taken = 0;
    const isTaken = () =>
      Promise.race([
        new Promise<boolean>((resolve) => stuck.write(Buffer.alloc(MIB), () => resolve(true))),
        delay(500, false),
      ]);
    while (await isTaken()) taken += 1;
    expect(taken).toBeLessThan(40);
  });

  test('and it may take longer than two requests of one connection may be apart', async () => {
    let answer: () => void = () => undefined;
    const { address } = await startUpstream((request, response) => {
      if (request.url === '/1') response.end('first');
      else answer = () => response.end('second');
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`GET /1 HTTP/1.1\r\nHost: x\r\n\r\n${upgrade('h2c', 'GET /2 HTTP/1.1')}`);
    await readUntil(client, 'first');
    await soon(() => expect(answer).not.toBeUndefined());
    await delay(200);
    answer();
    await readUntil(client, 'second');
  });
});

test.each([
  ['a WebSocket', handshake(), 'GET'],
  ['CONNECT', 'CONNECT whisper:7860 HTTP/1.1\r\nHost: whisper\r\n\r\n', 'CONNECT'],
])(
  '%s with more behind it than is kept is refused, and whisper has not failed',
  async (_, text, method) => {
    const { address } = await startRawUpstream(() => undefined);
    const { port, lines } = await startIngress({ UPSTREAM: address });
    const client = open(port).resume();
    // Something that has no answer yet, so that it has to wait.
    if (method === 'CONNECT') client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    client.write(text + 'x'.repeat(90_000));
    await vi.waitFor(() => expect(client.closed || client.readableEnded).toBe(true), 60_000);
    expect(lines()).toMatchObject([{ decision: 'deny', reason: 'bad_target', method }]);
    expect(lines('ingress_failure')).toEqual([]);
  },
);

describe('a client that goes away cancels', () => {
  const GET = 'GET /before HTTP/1.1\r\nHost: x\r\n\r\n';

  test.each([
    ['h2c', upgrade('h2c'), 1],
    ['h2c, with a request behind it', `${upgrade('h2c')}${GET}`, 2],
    ['h2c, with bytes behind it', `${upgrade('h2c')}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, 0],
    ['h2c, with a request before it', `${GET}${upgrade('h2c')}`, 1],
    ['h2c, with a request before it and bytes behind', `${GET}${upgrade('h2c')}bytes`, 1],
    [
      'h2c with half its body',
      `${upgrade('h2c', 'POST / HTTP/1.1', 'Content-Length: 9\r\n')}wave`,
      1,
    ],
    ['a WebSocket', handshake(), 1],
    ['a WebSocket, with bytes behind it', `${handshake()}bytes`, 1],
    ['a WebSocket, with many bytes behind it', `${handshake()}${'x'.repeat(300_000)}`, 0],
    ['a WebSocket, with a request before it', `${GET}${handshake()}`, 1],
    ['a WebSocket, with a request before it and bytes behind', `${GET}${handshake()}bytes`, 1],
    ['CONNECT, with a request before it', `${GET}CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n`, 1],
    ['what cannot be read, with a request before it', `${GET}GARBAGE\r\n\r\n`, 0],
  ])('%s', async (_, text, expected) => {
    const open_ = new Set<unknown>();
    let arrived = 0;
    const { address } = await startRawUpstream((socket) => {
      arrived += 1;
      open_.add(socket);
      socket.once('end', () => socket.end()).once('close', () => open_.delete(socket));
      socket.resume();
    });
    const { port } = await startIngress({ UPSTREAM: address });
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      arrived = 0;
      const client = open(port);
      client.resume().write(text);
      if (expected > 0) await vi.waitFor(() => expect(arrived).toBe(expected), 5_000);
      client[leave]();
      await vi.waitFor(() => expect(open_.size).toBe(0), 5_000);
      await vi.waitFor(() => expect(client.closed || client.readableEnded).toBe(true), 5_000);
    }
  });
});

describe('what comes behind an unanswered request is answered after it', () => {
  test.each([
    ['a WebSocket', handshake('/socket'), '404 Not Found'],
    ['CONNECT', 'CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n', '400 Bad Request'],
  ])('%s', async (_, text, status) => {
    let answer: () => void = () => undefined;
    const { address } = await startUpstream((request, response) => {
      if (request.url === '/socket') response.writeHead(404).end('no');
      else answer = () => response.end('first');
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    let answers = '';
    client.on('data', (chunk) => {
      answers += chunk;
    });
    client.write(`GET /1 HTTP/1.1\r\nHost: x\r\n\r\n${text}`);
    await delay(200);
    expect(answers).toBe('');
    await vi.waitFor(() => {
      answer();
      expect(answers).toContain(status);
    }, 5_000);
    expect(answers).toMatch(
      new RegExp(`^HTTP/1.1 200 OK[\\s\\S]*first[\\s\\S]*HTTP/1.1 ${status}`),
    );
  });
});

test.each(['websocket', 'h2c'])(
  '%s while whisper is down is answered with 502',
  async (protocol) => {
    const { port } = await startIngress({ UPSTREAM: `http://127.0.0.1:${await freePort()}` });
    const client = open(port);
    client.write(protocol === 'h2c' ? upgrade(protocol) : handshake());
    const answer = await readUntil(client, 'in a few seconds.\n');
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).toMatch(/\r\nretry-after: 5\r\n/i);
    expect(answer).toMatch(/\r\n\r\nwhisper-proxy: whisper does not listen at .*\n$/);
  },
);
