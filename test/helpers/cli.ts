import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;

/** A run of the built program, with what it has printed so far. */
export class Cli {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #exited: Promise<unknown[]>;

  /** @param env the whole environment but PATH. */
  constructor(args: string[], env: Record<string, string>, options: SpawnOptions = {}) {
    this.child = spawn(process.execPath, [MAIN, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
    this.#exited = once(this.child, 'close');
    this.child.stdout?.on('data', (chunk) => {
      this.stdout += String(chunk);
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += String(chunk);
    });
  }

  /** Waits until standard output has a text; fails if the program ends first. */
  async prints(text: string | RegExp): Promise<void> {
    while (!(typeof text === 'string' ? this.stdout.includes(text) : text.test(this.stdout))) {
      const ended = this.child.exitCode !== null || this.child.signalCode !== null;
      if (ended) throw new Error(`it ended: ${this.stdout}${this.stderr}`);
      await Promise.race([once(this.child.stdout ?? this.child, 'data'), this.#exited]);
    }
  }

  /** The lines of the log so far. */
  get lines(): Record<string, unknown>[] {
    return this.stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The addresses of a running `serve`, from its first line. */
  async addresses(): Promise<Record<'ingress' | 'egress' | 'admin', string>> {
    await this.prints('"msg":"listening"');
    return this.lines.find(({ msg }) => msg === 'listening') as Record<
      'ingress' | 'egress' | 'admin',
      string
    >;
  }

  /** Waits for its end. @returns the exit status; null after a signal. */
  async exit(): Promise<number | null> {
    const [status] = await this.#exited;
    return status as number | null;
  }

  /** Ends it for good; for afterEach. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
  }
}

/** What `serve` needs to listen on free loopback ports. */
export const LOOPBACK = {
  INGRESS_LISTEN: '127.0.0.1:0',
  EGRESS_LISTEN: '127.0.0.1:0',
  ADMIN_LISTEN: '127.0.0.1:0',
};
