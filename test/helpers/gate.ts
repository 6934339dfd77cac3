import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { canMakeNamespaces, Namespaces, type Program } from './ingress-namespaces.ts';
import { isMissing } from './tools.ts';

export const GATE = fileURLToPath(new URL('../../src/gate/whisper-gate', import.meta.url));

/** Whether a gate can be tried here. */
export function canTryGate(): boolean {
  return canMakeNamespaces() && !isMissing('nft');
}

/** Two namespaces, `near` for the gate and whisper, `far` for the proxy. */
export class GateHost extends Namespaces {
  /** What the gate is run with; a /tmp of its own, as its container has. */
  readonly env: Record<string, string>;
  readonly #tmp = mkdtempSync(join(tmpdir(), 'whisper-gate-'));

  constructor() {
    super();
    chmodSync(this.#tmp, 0o777);
    this.env = { WHISPER_ADDRESS: '10.0.0.1', PROXY_ADDRESS: '10.0.0.2', TMPDIR: this.#tmp };
  }

  /** Runs the gate where whisper is, until it holds. */
  async hold(env: Record<string, string> = {}): Promise<Program> {
    const gate = this.run(this.near, [GATE], { ...this.env, ...env });
    await gate.prints('locked');
    return gate;
  }

  /** Runs a command where whisper is. */
  inside(command: string[], env: Record<string, string> = {}): SpawnSyncReturns<string> {
    return spawnSync('ip', ['netns', 'exec', this.near, ...command], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...this.env, ...env },
      timeout: 60_000,
    });
  }

  override remove(): void {
    super.remove();
    rmSync(this.#tmp, { recursive: true });
  }

  /** Gives a namespace another address. */
  address(namespace: string, text: string): void {
    spawnSync('ip', ['-n', namespace, 'address', 'add', `${text}/24`, 'dev', 'cable']);
  }

  /** Listens on these TCP ports of all addresses. */
  async listen(namespace: string, ports: number[]): Promise<void> {
    const script = `
      const net = require('node:net');
      const ports = ${JSON.stringify(ports)};
      Promise.all(ports.map((port) => new Promise((resolve) => net.createServer((socket) => socket.on('error', () => {}).end())
        .listen(port, '0.0.0.0', resolve)))).then(() => console.log('listening'));`;
    await this.run(namespace, [process.execPath, '-e', script]).prints('listening');
  }

  /** Which of these ports of an address accept a connection from a namespace. */
  reachable(namespace: string, address: string, ports: number[], from = 0, local = ''): number[] {
    const script = `
      const net = require('node:net');
      Promise.all(${JSON.stringify(ports)}.map((port) => new Promise((resolve) => {
        const socket = net.connect({ host: '${address}', port, localPort: ${from} || undefined,
          localAddress: '${local}' || undefined });
        socket.once('connect', () => { socket.destroy(); resolve(port); });
        socket.once('error', () => resolve(null));
        setTimeout(() => { socket.destroy(); resolve(null); }, 1500);
      }))).then((open) => { console.log(JSON.stringify(open.filter(Boolean))); process.exit(); });`;
    const { stdout } = spawnSync(
      'ip',
      ['netns', 'exec', namespace, process.execPath, '-e', script],
      {
        encoding: 'utf8',
      },
    );
    return JSON.parse(stdout) as number[];
  }
}
