import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ask, open, readAnswer, readUntil, startIngress } from './helpers/ingress.ts';
import { soon } from './helpers/proxy.ts';
import { startRawUpstream, startUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;

describe('server-sent events', () => {
  test('come without delay: the header before the first of them, each as it is sent', async () => {
    let send: (event: string) => void = () => undefined;
    const { address } = await startUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      send = (event) => response.write(event);
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const outgoing = httpRequest(origin, { agent: false }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(answer.headers['content-type']).toBe('text/event-stream');
    const events = answer[Symbol.asyncIterator]();
    for (const event of ['data: 1\n\n', ': a comment\n\n', 'data: 3\n\n']) {
      send(event);
      expect(String((await events.next()).value)).toBe(event);
    }
    outgoing.destroy();
  });
});

describe('a client that goes away cancels the request to whisper', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\n\r\n';

  test.each([
    ['before the header of the answer', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '', ''],
    [
      'during the upload',
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${MIB}\r\n\r\nbeginning`,
      '',
      '',
    ],
    ['before the first byte of the answer', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', HEAD, '200 OK'],
    ['during the answer', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', `${HEAD}part`, 'part'],
  ])('%s', async (_, asked, answered, seen) => {
    let arrived = false;
    let cancelled = false;
    const cancel = () => {
      cancelled = true;
    };
    const { address } = await startRawUpstream((socket) => {
      socket.write(answered);
      socket.once('close', cancel).once('end', cancel).resume();
      arrived = true;
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(asked);
    await soon(() => expect(arrived).toBe(true));
    if (seen) await readUntil(client, seen);
    client.destroy();
    await soon(() => expect(cancelled).toBe(true));
  });
});

describe('whisper dies during its answer', () => {
  test.each([
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['of a known length', 'Content-Length: 100\r\n\r\nhello'],
  ])('%s: the client sees that it is cut off', async (_, rest) => {
    const { address } = await startRawUpstream((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${rest}`);
      setTimeout(() => socket.destroy(), 50);
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    const outgoing = httpRequest(origin, { agent: false }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    await expect(readAnswer(answer)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('and the next request is served', async () => {
    let count = 0;
    const { address } = await startUpstream((_request, response) => {
      count += 1;
      if (count === 1) response.write('x', () => response.destroy());
      else response.end('ok');
    });
    const { origin } = await startIngress({ UPSTREAM: address });
    await expect(ask(origin)).rejects.toThrow();
    expect(String((await ask(origin)).body)).toBe('ok');
  });
});

describe('a slow client', () => {
  test('holds whisper back', async () => {
    let sent = 0;
    const { address } = await startUpstream((_request, response) => {
      const piece = Buffer.alloc(MIB);
      const pump = () => {
        sent += 1;
        if (sent < 400 && response.write(piece)) setImmediate(pump);
        else response.once('drain', pump);
      };
      pump();
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await readUntil(client, '200 OK');
    let before = -1;
    while (before !== sent) {
      before = sent;
      await delay(300);
    }
    // What the kernel's buffers of two connections hold, and not much more.
    expect(sent).toBeLessThan(40);
  });
});
