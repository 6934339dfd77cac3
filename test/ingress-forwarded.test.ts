import { describe, expect, test } from 'vitest';
import { pairs } from '../src/http/headers.ts';
import { open, startIngress } from './helpers/ingress.ts';
import { agreement, handshake, readRest } from './helpers/ingress-websocket.ts';
import { startCanned, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const TRUSTED = '127.0.0.2';
const OTHER = '127.0.0.3';
const SENT = [
  'X-Forwarded-For: 192.0.2.1',
  'X-Forwarded-For: 192.0.2.2',
  'X-Forwarded-Host: visp.example',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Port: 443',
  'X-Forwarded-Prefix: /whisper',
  'X-Forwarded-Server: x',
  'X_Forwarded_Host: evil',
  'Forwarded: for=192.0.2.4',
];

async function start(upstream: string) {
  return startIngress({ UPSTREAM: upstream, INGRESS_TRUST_FORWARDED: TRUSTED });
}

const get = (fields: string[]) =>
  ['GET / HTTP/1.1', 'Host: whisper:7860', 'Connection: close', ...fields, '', ''].join('\r\n');

describe('INGRESS_TRUST_FORWARDED', () => {
  test.each([
    [
      'a client that it names says who asked for what',
      TRUSTED,
      SENT,
      [
        ...['x-forwarded-host: visp.example', 'x-forwarded-proto: https', 'x-forwarded-port: 443'],
        ...['x-forwarded-prefix: /whisper', 'x-forwarded-for: 192.0.2.1, 192.0.2.2, 127.0.0.2'],
      ],
    ],
    [
      'what it does not say is set afresh',
      TRUSTED,
      ['X-Forwarded-Prefix: /whisper'],
      [
        ...['x-forwarded-prefix: /whisper', 'x-forwarded-for: 127.0.0.2'],
        ...['x-forwarded-host: whisper:7860', 'x-forwarded-proto: http'],
      ],
    ],
    [
      'another client says nothing',
      OTHER,
      SENT,
      ['x-forwarded-for: 127.0.0.3', 'x-forwarded-host: whisper:7860', 'x-forwarded-proto: http'],
    ],
  ])('%s', async (_, client, sent, expected) => {
    const { address } = await startUpstream((request, response) => {
      response.end(JSON.stringify(pairs(request.rawHeaders)));
    });
    const { port } = await start(address);
    const socket = open(port, client);
    socket.write(get(sent));
    const answer = await readRest(socket);
    const all = JSON.parse(answer.slice(answer.indexOf('[['), answer.lastIndexOf(']]') + 2));
    const forwarded = (all as [string, string][])
      .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
      .filter((field) => field.includes('forwarded'));
    expect(forwarded).toEqual(expected);
  });

  test('a WebSocket of such a client, too', async () => {
    let received = '';
    const { address } = await startRawUpstream((socket, head) => {
      received = head;
      socket.end(agreement(head));
    });
    const { port } = await start(address);
    const socket = open(port, TRUSTED);
    socket.write(handshake('/', SENT));
    await readRest(socket);
    expect(received).toMatch(/\r\nX-Forwarded-Proto: https\r\n/);
    expect(received).toMatch(/\r\nX-Forwarded-For: 192\.0\.2\.1, 192\.0\.2\.2, 127\.0\.0\.2\r\n/);
  });

  test.each([
    [TRUSTED, 'https://visp.example/login', 302],
    [TRUSTED, 'http://whisper:7860/login', 302],
    [TRUSTED, '/login', 302],
    [TRUSTED, 'http://visp.example/login', 502],
    [TRUSTED, 'https://evil.example/', 502],
    [TRUSTED, 'https://whisper:7860/', 502],
    [OTHER, 'https://visp.example/login', 502],
  ])('%s may be redirected to its own places alone: %s', async (client, location, status) => {
    const { address } = await startCanned(
      `HTTP/1.1 302 X\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`,
    );
    const { port } = await start(address);
    const socket = open(port, client);
    socket.write(get(SENT));
    expect((await readRest(socket)).split(' ')[1]).toBe(String(status));
  });
});
