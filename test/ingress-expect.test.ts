import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { open, readUntil, startIngress } from './helpers/ingress.ts';
import { readRest } from './helpers/ingress-websocket.ts';
import { readBody, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const HELD_BACK =
  'POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';
const GO_ON = 'HTTP/1.1 100 Continue\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a client that holds its body back', () => {
  test('is told to go on when whisper says so, and not before', async () => {
    let goOn: () => void = () => undefined;
    let received = '';
    const { address } = await startRawUpstream((socket, head) => {
      received = head;
      goOn = () => socket.write(GO_ON);
      socket.on('data', (chunk) => {
        received += chunk;
        if (received.endsWith('wave')) socket.end(OK);
      });
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    let answer = '';
    client.on('data', (chunk) => {
      answer += chunk;
    });
    client.write(HELD_BACK);
    await expect.poll(() => received, { timeout: 5_000 }).toMatch(/\r\nExpect: 100-continue\r\n/);
    await delay(200);
    expect(answer).toBe('');
    goOn();
    await expect.poll(() => answer, { timeout: 5_000 }).toBe(GO_ON);
    expect(received).not.toContain('wave');
    client.write('wave');
    await expect.poll(() => answer, { timeout: 5_000 }).toMatch(/ 200 OK[\s\S]*ok$/);
  });

  test.each([
    ['401 Unauthorized', 'Content-Length: 2\r\n\r\nno'],
    ['413 Content Too Large', 'Connection: close\r\nContent-Length: 2\r\n\r\nno'],
    ['417 Expectation Failed', 'Content-Length: 2\r\n\r\nno'],
    ['200 OK', 'Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n'],
  ])('is not told to, when whisper answers at once: %s', async (status, rest) => {
    let received = '';
    const { address } = await startRawUpstream((socket, head, body) => {
      received = head + body;
      socket.on('data', (chunk) => {
        received += chunk;
      });
      socket.write(`HTTP/1.1 ${status}\r\n${rest}`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(HELD_BACK);
    const answer = await readUntil(client, 'no');
    expect(answer.split(' ')[1]).toBe(status.split(' ')[0]);
    await delay(1_200);
    expect(received).not.toContain('wave');
    expect(answer).not.toContain('100 Continue');
  });

  test('is told to go on after a second when whisper says nothing', async () => {
    const { address } = await startRawUpstream((socket) => {
      socket.on('data', (chunk) => {
        if (String(chunk) === 'wave') socket.end(OK);
      });
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    const since = performance.now();
    client.write(HELD_BACK);
    await readUntil(client, GO_ON);
    expect(performance.now() - since).toBeGreaterThan(900);
    client.write('wave');
    expect(await readRest(client)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*ok$/);
  });

  test('may send it all the same', async () => {
    const { address } = await startUpstream(async (request, response) => {
      response.end(String(await readBody(request)));
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`${HELD_BACK}wave`);
    expect(await readRest(client)).toMatch(/ 200 OK[\s\S]*wave$/);
  });

  test('goes away: whisper hears of it', async () => {
    let isOpen: boolean | undefined;
    const { address } = await startRawUpstream((socket) => {
      isOpen = true;
      socket
        .once('end', () => socket.end())
        .once('close', () => {
          isOpen = false;
        });
      socket.resume();
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(HELD_BACK);
    await expect.poll(() => isOpen, { timeout: 5_000 }).toBe(true);
    client.end();
    await expect.poll(() => isOpen, { timeout: 5_000 }).toBe(false);
  });
});

describe('an expectation', () => {
  const get = (version: string, expectation: string) =>
    `GET / HTTP/${version}\r\nHost: x\r\nConnection: close\r\nExpect: ${expectation}\r\n\r\n`;

  test.each(['foo', '100-continue, foo', '100-continue;x=y', '200-ok'])(
    'other than 100-continue is refused with 417, and logged: %s',
    async (expectation) => {
      const { port, lines } = await startIngress({ UPSTREAM: 'embedded' });
      const client = open(port);
      client.write(get('1.1', expectation));
      expect(await readRest(client)).toMatch(/^HTTP\/1\.1 417 [\s\S]*100-continue and no other/);
      expect(lines()).toMatchObject([{ reason: 'bad_target', host: '/' }]);
    },
  );

  test.each([
    ['of a request without a body', get('1.1', '100-Continue')],
    ['of HTTP/1.0', get('1.0', 'foo')],
  ])('%s is passed over', async (_, text) => {
    const { address } = await startUpstream((request, response) => {
      response.end(`expect ${request.headers.expect}`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(text);
    expect(await readRest(client)).toMatch(/^HTTP\/1\.1 200 [\s\S]*expect undefined$/);
  });
});
