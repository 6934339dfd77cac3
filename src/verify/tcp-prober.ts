import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CONNECTED, describeError } from './packets.ts';
import type { Attempt, Outcome } from './probe.ts';

const HELPER = fileURLToPath(new URL('./tcp-probe.pl', import.meta.url));
/** How long an answer is waited for. */
const ANSWER_LIMIT_S = 2.5;

/** What is said of a connection whose first packet passed the rules, without any answer. */
export const LEFT: Outcome = { state: 'open', detail: 'it left: nobody answered' };
/** What is said of one whose first packet did not. */
export const DROPPED: Outcome = { state: 'closed', detail: 'it was dropped' };
const UNDECIDED: Outcome = {
  state: 'unknown',
  detail: 'no answer, and the kernel does not tell whether it left',
};

/**
 * Tries connections by TCP, and tells of those that get no answer whether they left. Node has no call
 * for that, so one Perl program does it for all of them.
 */
export class TcpProber {
  readonly #perl: string;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #helper: ChildProcessWithoutNullStreams | undefined;
  #failure: Outcome | undefined;
  #count = 0;

  /** @param perl the interpreter; in the image, Debian's essential one. */
  constructor(perl = 'perl') {
    this.#perl = perl;
  }

  /**
   * Tries to connect. A refusal counts as open: whoever sent it was reached.
   * @param address IPv4 or IPv6.
   */
  connect(address: string, port: number): Promise<Outcome> {
    if (this.#failure) return Promise.resolve(this.#failure);
    this.#helper ??= this.#start();
    this.#count += 1;
    const id = this.#count;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#helper?.stdin.write(`${id} ${address} ${port}\n`);
    });
  }

  /** One attempt a port. */
  attempts(address: string, ports: readonly number[]): Attempt[] {
    return ports.map((port) => ({
      what: String(port),
      kind: 'packet',
      run: () => this.connect(address, port),
    }));
  }

  #start(): ChildProcessWithoutNullStreams {
    // Without an environment: PERL5LIB or PERL5OPT would have a say.
    const env = { PATH: process.env.PATH, LC_ALL: 'C' };
    const helper = spawn(this.#perl, [HELPER, `limit=${ANSWER_LIMIT_S}`], { env });
    let errors = '';
    helper.stderr.on('data', (text) => {
      errors += String(text).slice(0, 1_000);
    });
    helper.stdin.on('error', () => undefined);
    createInterface({ input: helper.stdout }).on('line', (line) => this.#read(line));
    helper.once('error', (error) => this.#fail(error.message));
    helper.once('close', (status, signal) => {
      const [said = ''] = errors.split('\n');
      this.#fail(`${signal ? `ended by ${signal}` : `exit status ${status}`} ${said}`.trim());
    });
    return helper;
  }

  #read(line: string): void {
    try {
      const { id, fate } = JSON.parse(line) as { id: number; fate: string };
      this.#waiting.get(id)?.(outcomeOf(fate));
      this.#waiting.delete(id);
    } catch {
      // It ends with an error, which says more.
    }
  }

  /** What it has not told is unknown. */
  #fail(why: string): void {
    this.#failure ??= { state: 'unknown', detail: `the Perl helper did not try it: ${why}` };
    for (const resolve of this.#waiting.values()) resolve(this.#failure);
    this.#waiting.clear();
  }
}

function outcomeOf(fate: string): Outcome {
  switch (fate) {
    case 'connected':
      return { state: 'open', detail: CONNECTED };
    case 'left':
      return LEFT;
    case 'dropped':
      return DROPPED;
    case '':
      return UNDECIDED;
    default:
      return describeError(Object.assign(new Error(fate), { code: fate }));
  }
}
