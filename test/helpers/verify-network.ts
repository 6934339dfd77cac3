import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Result } from '../../src/verify/probe.ts';
import { canMakeNamespaces } from './ingress-namespaces.ts';
import { isMissing } from './tools.ts';
import { ip, killGroup, sysctl } from './verify-commands.ts';
import { ANSWERING, FLOODING, NAMING, TLS_ANSWERING } from './verify-servers.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const GATE = new URL('../../src/gate/whisper-gate', import.meta.url).pathname;
const NODE = process.execPath;

/** A host that the allowlist lets through, in the namespace of the host. */
export const ALLOWED = '192.0.2.10';
/** Its name, which the proxy knows. */
export const ALLOWED_NAME = 'models.example';
/** Another container, on the host as well. */
export const OTHER = '192.0.2.20';
export const PROXY = '10.89.77.2';
export const WHISPER = '10.89.77.3';
export const VISP_PROXY = '10.90.0.2';
export const VISP_CLIENT = '10.90.0.5';

/** As whisper is run, but for the seccomp profile. */
export const AS_WHISPER = [
  'setpriv',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  '--no-new-privs',
];
/** The same, as another user than root. */
export const AS_NOBODY = [...AS_WHISPER, '--reuid=65534', '--regid=65534', '--clear-groups'];
const SECCOMP_EXEC = new URL('./seccomp-exec.py', import.meta.url).pathname;
const PROFILE = new URL('../../quadlets/whisper-seccomp.json', import.meta.url).pathname;
const UNDER_PROFILE = ['python3', SECCOMP_EXEC, PROFILE];
/** As whisper is run, with the seccomp profile too; only where `canLoadProfile`. */
export const AS_CONTAINER = [...AS_WHISPER, ...UNDER_PROFILE];
/** With everything that can be had, capabilities that are handed down included. */
export const UNLOCKED = ['setpriv', '--inh-caps=+net_raw', '--ambient-caps=+net_raw'];

/** Whether all of this can be made here: that takes root, iproute2, nft, setpriv, Perl and IPv6. */
export function canVerify(): boolean {
  const isComplete = !['nft', 'setpriv', 'perl'].some((tool) => isMissing(tool));
  return isComplete && existsSync('/proc/net/if_inet6') && canMakeNamespaces();
}

/** Whether the seccomp profile can be loaded without a container engine: python3 and libseccomp do it. */
export function canLoadProfile(): boolean {
  const [python, ...args] = UNDER_PROFILE as [string, ...string[]];
  return spawnSync(python, args).status === 0;
}

/** What a run of verify came to. */
export interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** What `--json` prints. */
export interface Report {
  from: string;
  ok: boolean;
  probes: Result[];
}

type Role = 'host' | 'proxy' | 'whisper' | 'visp';

let count = 0;

/**
 * The networks of a deployment as namespaces: `host` is the gateway of both networks and has the
 * addresses of the internet too, `proxy` is on both, `whisper` and `visp` on one each. There is no way
 * out of them.
 */
export class VerifyNetwork {
  readonly #names: Record<Role, string>;
  /** A /tmp for the gate, as its container has one of its own. */
  readonly #tmp = mkdtempSync(join(tmpdir(), 'whisper-gate-'));
  readonly #children: ChildProcess[] = [];

  constructor() {
    count += 1;
    const name = (role: string) => `wp-v${role}-${process.pid}-${count}`;
    this.#names = {
      host: name('host'),
      proxy: name('proxy'),
      whisper: name('whisper'),
      visp: name('visp'),
    };
    try {
      this.#build();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #build(): void {
    const { host, proxy, whisper, visp } = this.#names;
    this.#etc(whisper, `${PROXY} whisper-proxy\n`);
    this.#etc(visp, `${VISP_PROXY} whisper\n`);
    this.#etc(proxy, `${ALLOWED} ${ALLOWED_NAME}\n`);
    for (const name of Object.values(this.#names)) {
      ip('netns', 'add', name);
      // No waiting until the kernel believes that nobody else has its IPv6 addresses.
      sysctl(name, 'net.ipv6.conf.default.accept_dad=0', 'net.ipv4.ip_forward=0');
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    for (const bridge of ['wnet', 'vnet']) {
      ip('-n', host, 'link', 'add', bridge, 'type', 'bridge');
      ip('-n', host, 'link', 'set', bridge, 'up');
    }
    this.#plug(proxy, 'wnet', PROXY, 'fd77::2');
    this.#plug(proxy, 'vnet', VISP_PROXY, 'fd90::2');
    this.#plug(whisper, 'wnet', WHISPER, 'fd77::3');
    this.#plug(visp, 'vnet', VISP_CLIENT, 'fd90::5');
    ip('-n', host, 'address', 'add', '10.89.77.1/24', 'dev', 'wnet');
    ip('-n', host, 'address', 'add', '10.90.0.1/24', 'dev', 'vnet');
    // The neighbour that is tried: else nobody there would refuse a connection.
    ip('-n', host, 'address', 'add', '10.89.77.254/32', 'dev', 'wnet');
    ip('-n', host, 'address', 'add', 'fd77::1/64', 'dev', 'wnet', 'nodad');
    for (const address of ['1.1.1.1', '8.8.8.8', '169.254.169.254', ALLOWED, OTHER]) {
      ip('-n', host, 'address', 'add', `${address}/32`, 'dev', 'lo');
    }
    ip('-n', host, 'address', 'add', '2606:4700:4700::1111/128', 'dev', 'lo', 'nodad');
    // Podman does not keep its networks apart.
    sysctl(host, 'net.ipv4.ip_forward=1');
    for (const [name, gateway] of [
      [proxy, '10.89.77.1'],
      [whisper, '10.89.77.1'],
      [visp, '10.90.0.1'],
    ] as const) {
      ip('-n', name, 'route', 'add', 'default', 'via', gateway);
      sysctl(name, 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0');
    }
    ip('-n', whisper, '-6', 'route', 'add', 'default', 'via', 'fd77::1');
    // As podman sets it: root in a container may ping.
    sysctl(whisper, 'net.ipv4.ping_group_range=0 0');
  }

  /** Starts whisper-gate and waits until it has locked whisper's namespace. */
  lock(): Promise<void> {
    const env = { WHISPER_ADDRESS: WHISPER, PROXY_ADDRESS: PROXY, TMPDIR: this.#tmp };
    return this.#start('whisper', ['bash', GATE], env, 'whisper-gate: locked');
  }

  /** Puts a rule before those of the gate, on the way out. */
  relax(rule: string): void {
    const command = `insert rule ip whisper_gate output ${rule}`;
    ip('netns', 'exec', this.#names.whisper, 'nft', command);
  }

  /** Starts the proxy as the quadlets do. */
  serve(env: Record<string, string> = {}): Promise<void> {
    return this.#start(
      'proxy',
      [NODE, MAIN, 'serve'],
      {
        UPSTREAM: `http://${WHISPER}:7860`,
        EGRESS_LISTEN: `${PROXY}:3128`,
        EGRESS_TLS_LISTEN: `${PROXY}:443`,
        EGRESS_HTTP_LISTEN: `${PROXY}:80`,
        DNS_LISTEN: `${PROXY}:53`,
        EGRESS_CLIENTS: WHISPER,
        EGRESS_ALLOW: `${ALLOWED_NAME} ${ALLOWED}:443`,
        INGRESS_CLIENTS: '10.90.0.99',
        ...env,
      },
      '"msg":"listening"',
    );
  }

  /** Starts an HTTP server that answers everything, CONNECT included, with one status. */
  answer(where: 'host' | 'proxy' | 'whisper', address: string, port: number, status = 200) {
    const args = [address, String(port), String(status)];
    return this.#start(where, [NODE, '-e', ANSWERING, ...args], {}, 'ready');
  }

  /** Starts a TLS server that answers with a ServerHello, and to what is no TLS with the same. */
  answerTls(where: 'host' | 'proxy', address: string): Promise<void> {
    return this.#start(where, [NODE, '-e', TLS_ANSWERING, address, '443'], {}, 'ready');
  }

  /** Starts a name server beside the proxy that knows every name. */
  nameEverything(address: string): Promise<void> {
    return this.#start('proxy', [NODE, '-e', NAMING, address], {}, 'ready');
  }

  /** Takes the way beyond its own network from the container on visp-net. */
  strand(): void {
    ip('-n', this.#names.visp, 'route', 'del', 'default');
  }

  /** Drops whatever whisper sends, tells nobody, and lets nothing in; but for one rule on the way out. */
  dropAllBut(rule: string): void {
    const out = `chain output { type filter hook output priority 0; policy drop; ${rule}; };`;
    const into = 'chain input { type filter hook input priority 0; policy drop; };';
    ip('netns', 'exec', this.#names.whisper, 'nft', `table ip silence { ${out} ${into} }`);
  }

  /** Sets the size of the largest packet that whisper's interface takes. */
  setMtu(bytes: number): void {
    ip('-n', this.#names.whisper, 'link', 'set', 'wnet', 'mtu', String(bytes));
  }

  /** Drops whatever whisper sends, and tells nobody. */
  silence(): void {
    const table =
      'table inet silence { chain output { type filter hook output priority 0; policy drop; }; }';
    ip('netns', 'exec', this.#names.whisper, 'nft', table);
  }

  /** Whisper sends what the gate refuses, faster than the kernel answers, for that many seconds. */
  flood(seconds: number): Promise<void> {
    const addresses = ['1.1.1.1', '8.8.8.8', '10.89.77.1', OTHER];
    const command = [...AS_WHISPER, 'perl', '-e', FLOODING, String(seconds), ...addresses];
    return this.#start('whisper', command, {}, 'ready');
  }

  /** Runs verify to its end. */
  async verify(
    where: 'whisper' | 'visp',
    how: string[],
    args: string[],
    env: Record<string, string> = {},
  ): Promise<Run> {
    const child = this.#spawn(where, [...how, NODE, MAIN, 'verify', ...args], env);
    const run = { status: null as number | null, stdout: '', stderr: '' };
    child.stdout?.on('data', (text) => {
      run.stdout += String(text);
    });
    child.stderr?.on('data', (text) => {
      run.stderr += String(text);
    });
    const [status] = await once(child, 'close');
    return { ...run, status: status as number | null };
  }

  /** Runs `verify --json` to its end. */
  async report(where: 'whisper' | 'visp', how: string[], args: string[] = []) {
    const { status, stdout, stderr } = await this.verify(where, how, ['--json', ...args]);
    if (stdout === '') throw new Error(`verify ended with ${status}: ${stderr}`);
    return { status, ...(JSON.parse(stdout) as Report) };
  }

  /** Ends what runs in the namespaces, and removes them. */
  remove(): void {
    rmSync(this.#tmp, { recursive: true, force: true });
    for (const child of this.#children) killGroup(child);
    for (const name of Object.values(this.#names)) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was not made.
      }
      rmSync(join('/etc/netns', name), { recursive: true, force: true });
    }
  }

  /** Runs a program in a namespace until `remove`, and waits until it has printed a text. */
  async #start(
    where: 'host' | 'proxy' | 'whisper',
    command: string[],
    env: Record<string, string>,
    ready: string,
  ): Promise<void> {
    const child = this.#spawn(where, command, env);
    let printed = '';
    await new Promise<void>((resolve, reject) => {
      const read = (text: Buffer) => {
        printed += String(text);
        if (printed.includes(ready)) resolve();
      };
      child.stdout?.on('data', read);
      child.stderr?.on('data', read);
      child.once('close', () => reject(new Error(`${command.join(' ')} ended: ${printed}`)));
    });
  }

  #spawn(where: Role, command: string[], env: Record<string, string>): ChildProcess {
    // `ip netns exec` replaces itself with the program, so the child's id is the program's.
    const child = spawn('ip', ['netns', 'exec', this.#names[where], ...command], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // With a group of its own, since the gate leaves a child behind.
      detached: true,
    });
    this.#children.push(child);
    return child;
  }

  /** A cable from a namespace to a bridge of the host's, with addresses at its end. */
  #plug(name: string, bridge: string, address: string, address6: string): void {
    const { host } = this.#names;
    const far = `${bridge[0]}${address.split('.').at(-1)}`;
    ip('-n', host, 'link', 'add', far, 'type', 'veth', 'peer', bridge, 'netns', name);
    ip('-n', host, 'link', 'set', far, 'master', bridge);
    ip('-n', host, 'link', 'set', far, 'up');
    ip('-n', name, 'address', 'add', `${address}/24`, 'broadcast', '+', 'dev', bridge);
    ip('-n', name, 'address', 'add', `${address6}/64`, 'dev', bridge, 'nodad');
    ip('-n', name, 'link', 'set', bridge, 'up');
  }

  /** What a namespace has in /etc: `ip netns exec` puts it there. */
  #etc(name: string, hosts: string): void {
    const folder = join('/etc/netns', name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'hosts'), `127.0.0.1 localhost\n${hosts}`);
    const resolv = `nameserver ${PROXY}\noptions timeout:1 attempts:1\n`;
    writeFileSync(join(folder, 'resolv.conf'), resolv);
  }
}
