import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ip, killGroup } from './ingress-namespaces.ts';
import type { Line } from './proxy.ts';
import { type Certificate, writeCertificate } from './tls.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
export const WHISPER = '10.0.0.1';
export const PROXY = '10.0.0.2';
const PROXY_OUTSIDE = '1.1.1.2';
export const INTERNET = '1.1.1.80';
/** For node -e: answers by HTTP and HTTPS with what it was asked, and prints what each connection brought. */
const ORIGIN = `
  const { readFileSync } = require('node:fs');
  const [address, certificate] = process.argv.slice(1);
  const answer = (request, response) => {
    response.write(request.method + ' ' + request.headers.host + request.url + ' ');
    request.pipe(response);
  };
  const tls = { key: readFileSync(certificate + '/key.pem'), cert: readFileSync(certificate + '/cert.pem') };
  const servers = [require('node:http').createServer(answer), require('node:https').createServer(tls, answer)];
  [80, 443].forEach((port, index) => {
    const server = servers[index];
    server.on('connection', (socket) => socket.once('data', (bytes) => console.log(port, bytes.length)));
    server.on('tlsClientError', () => undefined);
    server.listen(port, address, () => console.log('ready', port));
  });
`;

/** What a program came to. */
export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

let count = 0;

/**
 * whisper's place as the gate leaves it: one network namespace that reaches the proxy's alone, has its
 * name server in /etc/resolv.conf, and knows of no proxy. Behind the proxy is an internet of one host,
 * which is origin.test, evil.test and neighbour.test.
 */
export class WhisperPlace {
  readonly certificate: Certificate;
  readonly #names: { whisper: string; proxy: string; internet: string };
  readonly #folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
  readonly #children: ChildProcess[] = [];
  #proxyPrinted = '';
  #originPrinted = '';

  constructor() {
    count += 1;
    this.certificate = writeCertificate(this.#folder);
    const name = (role: string) => `wp-p${role}-${process.pid}-${count}`;
    this.#names = { whisper: name('whisper'), proxy: name('proxy'), internet: name('internet') };
    const { whisper, proxy, internet } = this.#names;
    this.#etc(whisper, {
      'resolv.conf': `nameserver ${PROXY}\noptions timeout:1 attempts:1\n`,
      hosts: '',
    });
    const hosts = ['origin.test', 'evil.test', 'neighbour.test'].join(' ');
    this.#etc(proxy, { 'resolv.conf': '', hosts: `${INTERNET} ${hosts}\n` });
    for (const each of [whisper, proxy, internet]) {
      ip('netns', 'add', each);
      ip('-n', each, 'link', 'set', 'lo', 'up');
    }
    cable([whisper, 'in', WHISPER], [proxy, 'in', PROXY]);
    cable([proxy, 'out', PROXY_OUTSIDE], [internet, 'out', INTERNET]);
  }

  /** Starts the internet's host, and the proxy with more variables. */
  async start(env: Record<string, string>): Promise<void> {
    const origin = this.#spawn(this.#names.internet, ['-e', ORIGIN, INTERNET, this.#folder], {});
    origin.stdout?.on('data', (chunk) => {
      this.#originPrinted += String(chunk);
    });
    while (![80, 443].every((port) => this.#originPrinted.includes(`ready ${port}`))) {
      await once(origin.stdout ?? origin, 'data');
    }
    const child = this.#spawn(this.#names.proxy, [MAIN, 'serve'], {
      ...{ UPSTREAM: `http://whisper-gate:7860`, INGRESS_LISTEN: '127.0.0.1:7860' },
      ...{ EGRESS_LISTEN: `${PROXY}:3128`, EGRESS_CLIENTS: WHISPER, DNS_LISTEN: `${PROXY}:53` },
      ...{ EGRESS_TLS_LISTEN: `${PROXY}:443`, EGRESS_HTTP_LISTEN: `${PROXY}:80` },
      ...env,
    });
    child.stdout?.on('data', (chunk) => {
      this.#proxyPrinted += String(chunk);
    });
    while (!this.#proxyPrinted.includes('"msg":"listening"')) {
      await once(child.stdout ?? child, 'data');
    }
  }

  /** Runs a program where whisper is. @param env its environment but PATH. */
  run(command: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
    const args = ['netns', 'exec', this.#names.whisper, ...command];
    const options = {
      env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env },
      timeout: 60_000,
    };
    return new Promise((resolve) => {
      const child = execFile('ip', args, options, (error, stdout, stderr) => {
        const status = error === null ? 0 : Number(error.code ?? Number.NaN);
        resolve({ status, stdout, stderr });
      });
      child.stdin?.end();
    });
  }

  /** The decisions so far; a repeat within ten seconds has no line of its own. */
  decisions(): Line[] {
    return this.#proxyPrinted
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Line)
      .filter(({ event }) => event === 'egress');
  }

  /** How many connections to the internet's host brought a byte, once nothing more is under way. */
  async settledReached(): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return this.#originPrinted.split('\n').filter((line) => /^\d/.test(line)).length;
  }

  remove(): void {
    for (const child of this.#children) killGroup(child.pid);
    rmSync(this.#folder, { recursive: true });
    for (const name of Object.values(this.#names)) {
      ip('netns', 'del', name);
      rmSync(`/etc/netns/${name}`, { recursive: true, force: true });
    }
  }

  #spawn(namespace: string, args: string[], env: Record<string, string>): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    this.#children.push(child);
    return child;
  }

  /** Files that `ip netns exec` shows in place of those of the machine: ip-netns(8). */
  #etc(namespace: string, files: Record<string, string>): void {
    const folder = `/etc/netns/${namespace}`;
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  }
}

type End = [namespace: string, device: string, address: string];

function cable(one: End, other: End): void {
  const [namespace, device] = one;
  ip('-n', namespace, 'link', 'add', device, 'type', 'veth', 'peer', other[1], 'netns', other[0]);
  for (const [name, link, address] of [one, other]) {
    ip('-n', name, 'address', 'add', `${address}/24`, 'dev', link);
    ip('-n', name, 'link', 'set', link, 'up');
  }
}
