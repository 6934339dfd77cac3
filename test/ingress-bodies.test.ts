import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ask, open, readAnswer, readUntil, startIngress } from './helpers/ingress.ts';
import { isMissing } from './helpers/tools.ts';
import { readBody, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;

/** A proxy before an upstream that tells the type and length of the body it got. */
async function startMeter() {
  const { address } = await startUpstream(async (request, response) => {
    const { 'content-type': type = 'none', 'transfer-encoding': coding } = request.headers;
    const { length } = await readBody(request);
    response.end(`${type}, ${length} bytes${coding ? `, ${coding}` : ''}`);
  });
  return startIngress({ UPSTREAM: address });
}

describe('a body passes whatever its type says', () => {
  test.each([
    'none',
    'text/plain',
    'application/json',
    'multipart/form-data; boundary=x',
    'nonsense',
    '/;;=',
    'a/b/c',
    'application/json; charset=nonsense',
  ])('%s', async (type) => {
    const { origin } = await startMeter();
    const headers = type === 'none' ? {} : { 'content-type': type };
    const body = Buffer.alloc(4 * MIB, '{');
    const answer = await ask(origin, { method: 'POST', headers }, body);
    expect(String(answer.body)).toBe(`${type}, ${4 * MIB} bytes`);
  });

  test('and in chunks, when its length is not known', async () => {
    const { origin } = await startMeter();
    const headers = { 'transfer-encoding': 'chunked' };
    const answer = await ask(origin, { method: 'PUT', headers }, Buffer.alloc(MIB));
    expect(String(answer.body)).toBe(`none, ${MIB} bytes, chunked`);
  });

  test.each(['0', '00'])('and an empty one, of length %s', async (length) => {
    const { origin } = await startMeter();
    const headers = { 'content-length': length, 'content-type': 'text/plain' };
    const answer = await ask(origin, { method: 'POST', headers });
    expect(String(answer.body)).toBe('text/plain, 0 bytes');
  });
});

describe('an upload', () => {
  test('reaches whisper as it comes, JSON too', async () => {
    const { address } = await startRawUpstream((socket, _head, rest) => {
      // Each piece is answered before the next one is sent.
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
      if (rest.length > 0) socket.write(rest);
      socket.pipe(socket);
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const headers = { 'content-type': 'application/json', 'content-length': '6' };
    const outgoing = httpRequest(origin, { method: 'POST', headers, agent: false });
    outgoing.write('["');
    const [answer] = await once(outgoing, 'response');
    const pieces = answer[Symbol.asyncIterator]();
    expect(String((await pieces.next()).value)).toBe('["');
    outgoing.write('x"');
    expect(String((await pieces.next()).value)).toBe('x"');
    outgoing.end(']\n');
    expect(String((await pieces.next()).value)).toBe(']\n');
  });

  test.skipIf(isMissing('curl'))(
    'with Expect: 100-continue is told to go on (needs curl)',
    async () => {
      const { origin } = await startMeter();
      const { stdout, stderr } = await promisify(execFile)(
        'curl',
        [
          ...['-sv', '-H', 'Expect: 100-continue', '-H', 'Content-Type: audio/wav'],
          ...['--data-binary', 'x'.repeat(2000), origin],
        ],
        { env: { PATH: process.env.PATH } },
      );
      expect(stderr).toContain('HTTP/1.1 100 Continue');
      expect(stdout).toBe('audio/wav, 2000 bytes');
    },
  );

  test('that whisper answers before its end is answered so', async () => {
    const { address } = await startUpstream((_request, response) => {
      response.writeHead(413).end('too large');
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${200 * MIB}\r\n\r\n`);
    client.write(Buffer.alloc(20 * MIB));
    const answer = await readUntil(client, 'too large');
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('may end after its answer, and the connection serves the next request', async () => {
    const { address } = await startUpstream((request, response) => {
      response.end(`early ${request.url}.`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write('POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n123');
    await readUntil(client, 'early /1.');
    client.write('45GET /2 HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await readUntil(client, 'early /2.')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('on which whisper closes the connection is answered with 502', async () => {
    const { address } = await startRawUpstream((socket) => {
      socket.once('data', () => socket.destroy());
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const headers = { 'content-length': String(50 * MIB) };
    const outgoing = httpRequest(origin, { method: 'POST', headers, agent: false });
    outgoing.on('error', () => undefined);
    outgoing.write(Buffer.alloc(MIB));
    const [response] = await once(outgoing, 'response');
    const { status, body } = await readAnswer(response);
    outgoing.destroy();
    expect(status).toBe(502);
    expect(String(body)).toMatch(/^whisper-proxy: whisper at .* ended the connection/);
  });

  test('is held back while whisper does not read', async () => {
    const { address } = await startRawUpstream((socket) => void socket.pause());
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${500 * MIB}\r\n\r\n`);
    let sent = 0;
    while (await isTaken(client, Buffer.alloc(MIB))) sent += 1;
    // What the kernel's buffers of two connections hold, and not much more.
    expect(sent).toBeLessThan(40);
  });
});

/** Whether a socket's other end takes a piece within a time that is long for loopback. */
function isTaken(socket: Socket, piece: Buffer): Promise<boolean> {
  return Promise.race([
    new Promise<boolean>((resolve) => socket.write(piece, () => resolve(true))),
    delay(500, false),
  ]);
}
