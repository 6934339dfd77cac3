import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { bench, describe } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log/logger.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { clientHello } from '../helpers/client-hello.ts';

const HOST = '127.0.44.9';
const HELLO = Buffer.from(clientHello({ names: ['origin.test'] }), 'latin1');
const BYTES = 32 * 2 ** 20;
const CHUNK = Buffer.alloc(2 ** 16);

/** Answers the first bytes with one byte, and once it has all the bytes that it waits for, with another. */
const origin = createServer((socket) => {
  let received = 0;
  socket
    .on('error', () => undefined)
    .on('data', (bytes) => {
      if (received === 0) socket.write('a');
      received += bytes.length;
      if (received >= BYTES) socket.write('b');
    });
});
origin.listen(443, HOST);

async function startEgress(env: Record<string, string>): Promise<number> {
  const config = readConfig({
    ...{ UPSTREAM: 'http://127.0.0.1:9', INGRESS_LISTEN: '127.0.0.1:0' },
    ...{ EGRESS_LISTEN: '127.0.0.1:0', ADMIN_LISTEN: '127.0.0.1:0' },
    ...{ EGRESS_ALLOW: `origin.test ${HOST}:443`, EGRESS_MAX_CONNECTIONS: '10000' },
    ...env,
  });
  const logger = createLogger('info', { write: () => undefined });
  return (await new Sidecar(config, logger, async () => [HOST]).start()).egress.port;
}
const [checked, unchecked, limited] = await Promise.all([
  startEgress({}),
  startEgress({ EGRESS_REQUIRE_SNI: 'false' }),
  startEgress({ EGRESS_MAX_UPLOAD: '2GiB' }),
]);

async function openTunnel(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.write('CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n');
  await once(socket, 'data');
  socket.write(HELLO);
  await once(socket, 'data');
  return socket;
}

async function upload(port: number): Promise<void> {
  const socket = await openTunnel(port);
  const answered = once(socket, 'data');
  for (let sent = 0; sent < BYTES; sent += CHUNK.length) {
    if (!socket.write(CHUNK)) await once(socket, 'drain');
  }
  await answered;
  socket.destroy();
}

describe('a tunnel is opened, and its ClientHello answered', () => {
  bench('whatever it says', async () => void (await openTunnel(unchecked)).destroy());
  bench('held to its name', async () => void (await openTunnel(checked)).destroy());
});

describe('32 MiB go up a tunnel', () => {
  bench('without a limit', () => upload(checked), { iterations: 10 });
  bench('counted against a limit', () => upload(limited), { iterations: 10 });
});
