import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';
import { open, readUntil } from './helpers/ingress.ts';
import { agreement, handshake, readRest } from './helpers/ingress-websocket.ts';
import { soon } from './helpers/proxy.ts';
import { startUpstream, type Upstream } from './helpers/upstream.ts';

let cli: Cli;
let whisper: Upstream<Server>;
let uploads: number;

beforeEach(async () => {
  uploads = 0;
  whisper = await startUpstream((request, response) => {
    if (request.url === '/events') response.writeHead(200).write('data: 1\n\n');
    else if (request.method === 'POST') request.once('data', () => (uploads += 1));
    else setTimeout(() => response.end('done'), 500);
  });
  whisper.server.on('upgrade', (request, socket) => {
    socket.on('error', () => undefined);
    socket.write(agreement(`sec-websocket-key: ${request.headers['sec-websocket-key']}`));
  });
});

afterEach(() => cli.kill());

async function start(timeout: string): Promise<number> {
  cli = new Cli([], { ...LOOPBACK, UPSTREAM: whisper.address, SHUTDOWN_TIMEOUT: timeout });
  return Number((await cli.addresses()).ingress.split(':')[1]);
}

/** A stream of events, an upload and a WebSocket, none of which would end by itself. */
async function openEndless(port: number) {
  const events = open(port);
  events.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
  await readUntil(events, 'data: 1');
  const upload = open(port);
  upload.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbeginning');
  await soon(() => expect(uploads).toBe(1));
  const webSocket = open(port);
  webSocket.write(handshake());
  await readUntil(webSocket, '\r\n\r\n');
  return [events, upload, webSocket];
}

test('what does not end by itself is ended after SHUTDOWN_TIMEOUT, and the program exits', async () => {
  const port = await start('300ms');
  const sockets = await openEndless(port);
  const since = performance.now();
  cli.child.kill('SIGTERM');
  expect(await cli.exit()).toBe(0);
  expect(performance.now() - since).toBeGreaterThan(290);
  for (const socket of sockets) socket.resume();
  const isOver = ({ readableEnded, closed }: Socket) => readableEnded || closed;
  await soon(() => expect(sockets.every(isOver)).toBe(true));
});

test('a request that is nearly done may finish, while nobody new is let in', async () => {
  const port = await start('10m');
  const client = open(port);
  client.write('GET /x HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(whisper.server, 'request');
  cli.child.kill('SIGTERM');
  expect(await readRest(client)).toMatch(/^HTTP\/1\.1 200 [\s\S]*\bdone/);
  expect(await cli.exit()).toBe(0);
});
