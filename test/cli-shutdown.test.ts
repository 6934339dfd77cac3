import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  request as httpRequest,
} from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';

let echo: Server;
let whisper: HttpServer;
let cli: Cli;
const sockets: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  whisper = createHttpServer((request, response) => {
    const delay = Number(new URL(request.url ?? '', 'http://x').searchParams.get('delay'));
    setTimeout(() => response.end('done'), delay).unref();
  });
  for (const server of [echo, whisper]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await cli.kill();
  whisper.closeAllConnections();
  whisper.close();
  echo.close();
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;

function start(timeout: string): void {
  cli = new Cli([], {
    ...LOOPBACK,
    UPSTREAM: `http://127.0.0.1:${portOf(whisper)}`,
    EGRESS_ALLOW: `127.0.0.1:${portOf(echo)}`,
    SHUTDOWN_TIMEOUT: timeout,
  });
}

async function openTunnel(): Promise<Socket> {
  const { egress } = await cli.addresses();
  const socket = connect(Number(egress.split(':')[1]), '127.0.0.1');
  sockets.push(socket.on('error', () => undefined));
  socket.write(`CONNECT 127.0.0.1:${portOf(echo)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1\.1 200/);
  return socket;
}

async function get(path: string): Promise<string> {
  const { ingress } = await cli.addresses();
  const outgoing = httpRequest(`http://${ingress}${path}`);
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text;
}

describe('SIGTERM', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('ends an idle program with 0 (%s)', async (signal) => {
    start('8s');
    await cli.addresses();
    cli.child.kill(signal);
    expect(await cli.exit()).toBe(0);
  });

  test('lets a running request finish', async () => {
    start('8s');
    const answer = get('/?delay=500');
    await new Promise((resolve) => whisper.once('request', resolve));
    cli.child.kill('SIGTERM');
    expect(await answer).toBe('done');
    expect(await cli.exit()).toBe(0);
  });

  test('lets a tunnel go on, but accepts nothing new', async () => {
    start('8s');
    const tunnel = await openTunnel();
    const { egress } = await cli.addresses();
    cli.child.kill('SIGTERM');
    await expect.poll(() => refused(egress), { timeout: 60_000 }).toBe(true);
    tunnel.write('still here');
    const [data] = await once(tunnel, 'data');
    expect(String(data)).toBe('still here');
    tunnel.end();
    expect(await cli.exit()).toBe(0);
    expect(cli.lines.at(-1)).toMatchObject({ event: 'egress_end', bytes_out: 10, bytes_in: 10 });
  });

  test('ends an open tunnel and a silent request after SHUTDOWN_TIMEOUT, and logs the end', async () => {
    start('300ms');
    const tunnel = await openTunnel();
    const answer = get('/?delay=60000').catch((error: Error) => error);
    await new Promise((resolve) => whisper.once('request', resolve));
    cli.child.kill('SIGTERM');
    await once(tunnel, 'close');
    expect(await cli.exit()).toBe(0);
    expect(await answer).toBeInstanceOf(Error);
    expect(cli.lines.at(-1)).toMatchObject({ event: 'egress_end' });
  });

  test('says what it waits for; a second one ends it at once, with the ends in the log', async () => {
    start('1h');
    const tunnels = 9;
    for (let count = 0; count < tunnels; count += 1) await openTunnel();
    cli.child.kill('SIGTERM');
    await cli.prints('"event":"stopping"');
    expect(cli.lines.find(({ event }) => event === 'stopping')).toMatchObject({
      connections: tunnels,
      msg: 'waiting up to 3600 s for 9 connections; a second signal ends them at once',
    });
    cli.child.kill('SIGTERM');
    expect(await cli.exit()).toBe(1);
    const ends = cli.lines.filter(({ event }) => event === 'egress_end');
    const counted = ends.reduce((sum, { repeated }) => sum + Number(repeated ?? 1), 0);
    expect(counted).toBe(tunnels);
  });
});

function refused(address: string): Promise<boolean> {
  const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('error', () => resolve(true));
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}
