import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Whether network namespaces can be made here: that takes root and iproute2. */
export function canMakeNamespaces(): boolean {
  const name = `wp-probe-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  ip('netns', 'del', name);
  return true;
}

let count = 0;

/** Two network namespaces with a cable between them: `near` is 10.0.0.1, `far` is 10.0.0.2. */
export class Namespaces {
  readonly near: string;
  readonly far: string;
  readonly #children: ChildProcess[] = [];

  constructor() {
    count += 1;
    this.near = `wp-near-${process.pid}-${count}`;
    this.far = `wp-far-${process.pid}-${count}`;
    for (const name of [this.near, this.far]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('-n', this.near, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'cable', 'netns', this.far);
    for (const [name, address] of [
      [this.near, '10.0.0.1/24'],
      [this.far, '10.0.0.2/24'],
    ] as const) {
      ip('-n', name, 'address', 'add', address, 'dev', 'cable');
      ip('-n', name, 'link', 'set', 'cable', 'up');
    }
  }

  /** Runs a program in a namespace, until `remove`. */
  run(namespace: string, command: string[], env: Record<string, string> = {}): Program {
    const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
      // A group of its own, so that what it starts ends with it.
      detached: true,
    });
    this.#children.push(child);
    return new Program(child);
  }

  /** The far end is gone, and nobody is told: no FIN, no RST. */
  cut(): void {
    ip('-n', this.far, 'link', 'set', 'cable', 'down');
  }

  remove(): void {
    for (const { pid } of this.#children) killGroup(pid);
    for (const name of [this.near, this.far]) ip('netns', 'del', name);
  }
}

/** A running program and what it has printed. */
export class Program {
  printed = '';
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on('data', (chunk) => {
      this.printed += String(chunk);
      child.emit('printed');
    });
  }

  /** Waits until it has printed a text. */
  async prints(text: string): Promise<void> {
    while (!this.printed.includes(text)) await once(this.#child, 'printed');
  }

  /** Waits for its end. */
  async ends(): Promise<void> {
    await once(this.#child, 'close');
  }
}

/** Ends a process and what it has started, if it runs still. */
export function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Runs ip(8). @throws if it fails. */
export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
