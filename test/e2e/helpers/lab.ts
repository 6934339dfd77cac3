import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMissing } from '../../helpers/tools.ts';

const LAB = fileURLToPath(new URL('../lab/lab', import.meta.url));

/** The suites of Debian that a lab can run, and which network backend podman has there. */
const BACKENDS = { bookworm: 'cni', trixie: 'netavark', testing: 'netavark' } as const;

export type Suite = keyof typeof BACKENDS;
export const SUITES = Object.keys(BACKENDS) as Suite[];

/** What a command in the lab gave. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Why there can be no lab on this machine, or null: it goes into the names of skipped tests. */
export function whyNoLab(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['debootstrap', 'ip', 'dnsmasq', 'openssl', 'python3', 'unshare'].filter((tool) =>
    isMissing(tool, tool === 'ip' ? '-V' : tool === 'openssl' ? 'version' : '--version'),
  );
  return missing.length > 0 ? `needs ${missing.join(', ')}` : null;
}

/** A throwaway host, seen by its operator: root, or a user whose containers are rootless. */
export class Lab {
  readonly #name: string;
  readonly #suite: Suite;
  readonly #operator: 'root' | 'user';

  constructor(name: string, suite: Suite, operator: 'root' | 'user') {
    this.#name = name;
    this.#suite = suite;
    this.#operator = operator;
  }

  get backend(): 'cni' | 'netavark' {
    return BACKENDS[this.#suite];
  }

  /** The folder of the operator's units. */
  get units(): string {
    return this.#operator === 'root'
      ? '/etc/containers/systemd'
      : '/home/visp/.config/containers/systemd';
  }

  /** What an operator adds to systemctl and journalctl. */
  get scope(): string {
    return this.#operator === 'root' ? '--system' : '--user';
  }

  /** Boots it and loads the images of these names. */
  async up(...images: string[]): Promise<void> {
    await this.#lab('up', this.#suite);
    for (const image of images) await this.sh(`podman load --quiet --input /images/${image}.tar`);
    await this.sh(`mkdir -p ${this.units}`);
  }

  async down(): Promise<void> {
    await this.#lab('down');
  }

  /** Stops it as a power cut would, and boots it again. */
  async crash(): Promise<void> {
    await this.#lab('crash');
  }

  /** Where the records of what reached the internet are, on this machine. */
  async folder(): Promise<string> {
    return (await this.#lab('folder')).trim();
  }

  /** Runs a command line of bash as the operator. @returns its output. @throws if it fails. */
  async sh(script: string, input = ''): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(script, input);
    if (status !== 0) throw new Error(`${script}\nended with ${status}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Runs a command line of bash as the operator, whatever comes of it. */
  attempt(script: string, input = ''): Promise<Outcome> {
    return run([this.#operator, this.#name, 'bash', '-o', 'pipefail', '-c', script], input);
  }

  /** `systemctl` of the operator's. */
  systemctl(...words: string[]): Promise<string> {
    return this.sh(`systemctl ${this.scope} ${words.join(' ')}`);
  }

  /** Whether a unit is active; a state such as `activating` counts as not. */
  async isActive(unit: string): Promise<boolean> {
    return (await this.attempt(`systemctl ${this.scope} is-active --quiet ${unit}`)).status === 0;
  }

  /** What a unit has written since a time that `date +%s` told. */
  journal(unit: string, since = 0): Promise<string> {
    return this.sh(
      `journalctl ${this.scope} --no-pager --output cat --unit ${unit} --since @${since}`,
    );
  }

  /** The lab's clock, in seconds. */
  async now(): Promise<number> {
    return Number(await this.sh('date +%s'));
  }

  /** Writes a unit, or another file of theirs. */
  async write(name: string, content: string): Promise<void> {
    await this.sh(
      `mkdir -p $(dirname ${this.units}/${name}) && cat >${this.units}/${name}`,
      content,
    );
  }

  /** Waits until a command line succeeds. @throws after so many seconds, with what it said last. */
  async until(script: string, seconds = 60): Promise<string> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const { status, stdout, stderr } = await this.attempt(script);
      if (status === 0) return stdout;
      if (Date.now() > end) throw new Error(`after ${seconds} s: ${script}\n${stderr}${stdout}`);
      await sleep(200);
    }
  }

  async #lab(verb: string, ...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await run([verb, this.#name, ...words]);
    if (status !== 0) throw new Error(`lab ${verb}: ${stderr}${stdout}`);
    return stdout;
  }
}

async function run(words: string[], input = ''): Promise<Outcome> {
  const child = spawn(LAB, words, { stdio: 'pipe' });
  child.stdin.on('error', () => {}).end(input);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  return { status, stdout, stderr };
}
