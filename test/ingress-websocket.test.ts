import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'undici';
import { describe, expect, test } from 'vitest';
import { open, readUntil, startIngress } from './helpers/ingress.ts';
import { agreement, handshake, readRest } from './helpers/ingress-websocket.ts';
import { soon } from './helpers/proxy.ts';
import { startRawUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;

/** A client and whisper with an agreed WebSocket between them. */
async function joined() {
  let whisper: Socket | undefined;
  const { address } = await startRawUpstream((socket, head) => {
    whisper = socket.pause();
    socket.write(agreement(head));
  });
  const { port } = await startIngress({ UPSTREAM: address });
  const client = open(port);
  client.write(handshake());
  await readUntil(client, '\r\n\r\n');
  if (!whisper) throw new Error('whisper was not reached');
  return { client, whisper };
}

/** How many MiB a socket's other end takes before it takes no more, 400 at most. */
async function mebibytesTaken(socket: Socket): Promise<number> {
  let sent = 0;
  const taken = () => new Promise<boolean>((resolve) => socket.write(piece, () => resolve(true)));
  const piece = Buffer.alloc(MIB);
  while (sent < 400 && (await Promise.race([taken(), delay(500, false)]))) sent += 1;
  return sent;
}

test('a real client and whisper talk', async () => {
  // A text frame from the client is masked (RFC 6455, section 5.3); the answer is not.
  const { address } = await startRawUpstream((socket, head) => {
    socket.write(agreement(head));
    socket.once('data', (frame) => {
      const [, length = 0] = frame;
      const size = length & 0x7f;
      const text = frame.subarray(6, 6 + size).map((byte, at) => byte ^ (frame[2 + (at % 4)] ?? 0));
      socket.write(Buffer.concat([Buffer.from([0x81, size]), text]));
    });
  });
  const { port } = await startIngress({ UPSTREAM: address });
  const client = new WebSocket(`ws://localhost:${port}/queue/join`);
  await once(client, 'open');
  client.send('bonjour');
  const [{ data }] = await once(client, 'message');
  expect(data).toBe('bonjour');
  client.close();
});

describe('the handshake', () => {
  test('reaches whisper with what the client said, and the forwarded fields set afresh', async () => {
    let received = '';
    const { address } = await startRawUpstream((socket, head) => {
      received = head;
      socket.write(agreement(head, ['Sec-WebSocket-Protocol: b', 'Alt-Svc: h2="evil:1"']));
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(
      handshake('//a/../b?c=%20', [
        'Origin: http://visp.example',
        'Authorization: Bearer x',
        'Cookie: a=1',
        'Sec-WebSocket-Protocol: a, b',
        'Sec-WebSocket-Extensions: permessage-deflate',
        'X-Forwarded-For: 192.0.2.1',
      ]),
    );
    const answer = await readUntil(client, '\r\n\r\n');
    expect(received.split('\r\n')).toEqual([
      'GET //a/../b?c=%20 HTTP/1.1',
      'Host: whisper:7860',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Origin: http://visp.example',
      'Authorization: Bearer x',
      'Cookie: a=1',
      'Sec-WebSocket-Protocol: a, b',
      'Sec-WebSocket-Extensions: permessage-deflate',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Host: whisper:7860',
      'X-Forwarded-Proto: http',
      expect.stringMatching(/^Via: 1\.1 whisper-proxy-/),
      'Connection: Upgrade',
      'Upgrade: websocket',
      '',
      '',
    ]);
    expect(answer.split('\r\n')).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      'Sec-WebSocket-Protocol: b',
      '',
      '',
    ]);
  });

  test.each([
    ['401 Unauthorized', 'WWW-Authenticate: Basic realm="x"', 'who are you?'],
    ['403 Forbidden', 'X-Why: origin', 'not you'],
    ['302 Found', 'Location: /login', ''],
    ['200 OK', 'Content-Type: text/html', '<html>'],
  ])('gets whisper’s own answer: %s', async (status, field, body) => {
    const { address } = await startRawUpstream((socket) => {
      const length = `Content-Length: ${body.length}`;
      socket.end(`HTTP/1.1 ${status}\r\n${field}\r\nSet-Cookie: a\r\n${length}\r\n\r\n${body}`);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(handshake());
    const answer = await readRest(client);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status}\r\n`));
    expect(answer).toContain(`\r\n${field}\r\n`);
    expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    expect(answer.split('\r\n\r\n')[1]).toBe(body);
  });

  test('is not agreed to before whisper agrees', async () => {
    let agree: () => void = () => undefined;
    const { address } = await startRawUpstream((socket, head) => {
      agree = () => socket.write(agreement(head));
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    let answer = '';
    client.on('data', (chunk) => {
      answer += chunk;
    });
    client.write(handshake());
    await delay(200);
    expect(answer).toBe('');
    agree();
    await soon(() => expect(answer).toMatch(/^HTTP\/1\.1 101 /));
  });

  test('and what comes together with it arrive in order, on both sides', async () => {
    const { address } = await startRawUpstream((socket, head, rest) => {
      socket.unshift(rest);
      socket.write(`${agreement(head)}hello `);
      socket.pipe(socket);
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(`${handshake()}early `);
    client.write('late ');
    const begun = await readUntil(client, 'hello ');
    // Before the answer this would be a client that goes away.
    client.end('last');
    const answer = begun + (await readRest(client));
    expect(answer.split('\r\n\r\n')[1]).toBe('hello early late last');
  });

  test('is given up when the client goes away', async () => {
    let given: boolean | undefined;
    const { address } = await startRawUpstream((socket) => {
      given = false;
      socket.once('close', () => {
        given = true;
      });
      socket.once('end', () => socket.end()).resume();
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const client = open(port);
    client.write(handshake());
    await soon(() => expect(given).toBe(false));
    client.destroy();
    await soon(() => expect(given).toBe(true));
  });

  test('is answered with 502 when whisper closes or talks nonsense', async () => {
    for (const nonsense of ['', 'nonsense\r\n\r\n', `HTTP/1.1 101 X\r\nX: ${'x'.repeat(20_000)}`]) {
      const { address } = await startRawUpstream((socket) => void socket.end(nonsense));
      const { port } = await startIngress({ UPSTREAM: address });
      const client = open(port);
      client.write(handshake());
      expect(await readRest(client)).toMatch(/^HTTP\/1\.1 502 [\s\S]*\r\n\r\nwhisper-proxy: .*\n$/);
    }
  });
});

describe('the connection', () => {
  test('holds whisper back while the client does not read', async () => {
    const { whisper } = await joined();
    expect(await mebibytesTaken(whisper)).toBeLessThan(40);
  });

  test('holds the client back while whisper does not read', async () => {
    const { client } = await joined();
    expect(await mebibytesTaken(client)).toBeLessThan(40);
  });

  test('may be closed by halves', async () => {
    const { client, whisper } = await joined();
    client.end('question');
    expect(await readRest(whisper)).toBe('question');
    whisper.end('answer');
    expect(await readRest(client)).toBe('answer');
  });

  test('ends for one when it is cut for the other', async () => {
    const first = await joined();
    first.whisper.resume().resetAndDestroy();
    first.client.resume();
    await soon(() => expect(first.client.closed).toBe(true));
    const second = await joined();
    second.client.resume().resetAndDestroy();
    second.whisper.resume();
    await soon(() => expect(second.whisper.closed).toBe(true));
  });
});
