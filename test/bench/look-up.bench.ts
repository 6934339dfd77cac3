import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { bench, describe } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log/logger.ts';
import { Sidecar } from '../../src/sidecar.ts';

const DNSMASQ_PORT = 15_353;
const question = (name: string) => {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const header = Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
};
const ALLOWED = question('huggingface.co');
const DENIED = question('evil.example');

const dnsmasq = spawn('dnsmasq', [
  ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root'],
  ...['--bind-interfaces', '--listen-address=127.0.0.1', `--port=${DNSMASQ_PORT}`],
  ...['--address=/huggingface.co/10.89.77.2', '--address=/#/'],
]);
const sidecar = new Sidecar(
  readConfig({
    ...{ UPSTREAM: 'http://127.0.0.1:9', INGRESS_LISTEN: '127.0.0.1:0' },
    ...{ EGRESS_LISTEN: '127.0.0.1:0', ADMIN_LISTEN: '127.0.0.1:0', DNS_LISTEN: '127.0.0.1:0' },
    EGRESS_ALLOW: 'huggingface.co',
  }),
  createLogger('info', { write: () => undefined }),
  async () => [],
);
const { dns } = await sidecar.start();
const socket = createSocket('udp4');
await setTimeout(500);

async function ask(message: Buffer, port: number): Promise<void> {
  socket.send(message, port, '127.0.0.1');
  await once(socket, 'message');
}

// Vitest runs no hooks around benchmarks, so what they need stands above.
describe('one look-up after the other, by UDP on loopback', () => {
  bench('dnsmasq, from a list', () => ask(ALLOWED, DNSMASQ_PORT));
  bench('whisper-proxy, a name that is allowed', () => ask(ALLOWED, dns?.port ?? 0));
  bench('whisper-proxy, a name that is denied', () => ask(DENIED, dns?.port ?? 0), {
    teardown: (_task, mode) => {
      if (mode === 'run') dnsmasq.kill();
    },
  });
});
