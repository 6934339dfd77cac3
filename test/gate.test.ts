import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canMakeNamespaces, Namespaces, type Program } from './helpers/ingress-namespaces.ts';
import { isMissing } from './helpers/tools.ts';

const GATE = fileURLToPath(new URL('../src/gate/whisper-gate', import.meta.url));
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const CORE = ['bitwise', 'cmp', 'immediate', 'meta', 'payload'];
const ADDRESSES = { WHISPER_ADDRESS: '10.0.0.1', PROXY_ADDRESS: '10.0.0.2' };

const folder = mkdtempSync(join(tmpdir(), 'whisper-gate-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A PATH on which nft is this script first; `$NFT` is the real one. */
function pathWithNft(name: string, script: string): string {
  const bin = mkdtempSync(join(folder, name));
  writeFileSync(join(bin, 'nft'), `#!/bin/bash\nNFT=/usr/sbin/nft\n${script}\n`);
  chmodSync(join(bin, 'nft'), 0o755);
  return `${bin}:${process.env.PATH}`;
}

/** A kernel without some expressions, as nft tells of it. */
function pathWithout(...expressions: string[]): string {
  return pathWithNft(
    'without-',
    `[[ $* != *--file* ]] || rules=$(cat)
     if grep --quiet --word-regexp --regexp=${expressions.join(' --regexp=')} <<<"\${rules-}"; then
       echo 'Error: Could not process rule: No such file or directory' >&2; exit 1
     fi
     exec $NFT "$@" <<<"\${rules-}"`,
  );
}

const noNamespaces = !canMakeNamespaces() || isMissing('nft');

describe.skipIf(noNamespaces)('whisper-gate (needs root, ip netns and nft)', () => {
  let net: Namespaces;
  beforeEach(() => {
    net = new Namespaces();
  });
  afterEach(() => net.remove());

  /** Runs the gate where whisper is, until it holds. */
  async function hold(env: Record<string, string> = {}): Promise<Program> {
    const gate = net.run(net.near, [GATE], { ...ADDRESSES, ...env });
    await gate.prints('locked');
    return gate;
  }

  /** Runs a command where whisper is. */
  function inside(command: string[], env: Record<string, string> = {}): SpawnSyncReturns<string> {
    return spawnSync('ip', ['netns', 'exec', net.near, ...command], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...ADDRESSES, ...env },
      timeout: 15_000,
    });
  }

  /** The expressions that the rules in force are made of. */
  function expressions(): string[] {
    const { stdout } = inside(['nft', '--debug=netlink', 'list', 'ruleset']);
    const names = [...stdout.matchAll(/^\s+\[ (\w+)/gm)].map(([, name]) => name ?? '');
    return [...new Set(names)].sort();
  }

  describe('the rules', () => {
    test('answer and count where the kernel can', async () => {
      await hold();
      expect(expressions()).toEqual([...CORE, 'counter', 'reject'].sort());
    });

    test('count where it cannot answer', async () => {
      await hold({ PATH: pathWithout('reject') });
      expect(expressions()).toEqual([...CORE, 'counter'].sort());
    });

    test('are of core expressions alone where it can neither', async () => {
      await hold({ PATH: pathWithout('reject', 'counter') });
      expect(expressions()).toEqual(CORE);
    });

    test('keep no state', async () => {
      await hold();
      expect(inside(['nft', 'list', 'ruleset']).stdout).not.toMatch(/\bct\b|\bset\b|@|limit|quota/);
    });

    test('are loaded again over themselves, and stay one set', async () => {
      await hold();
      const before = inside(['nft', '--stateless', 'list', 'ruleset']).stdout;
      await hold();
      expect(inside(['nft', '--stateless', 'list', 'ruleset']).stdout).toBe(before);
    });
  });

  describe('what passes', () => {
    const OUT = [53, 80, 443, 3128];
    const OTHERS = [22, 7860, 9090, 27017];

    /** Listens on these TCP ports of all addresses. */
    async function listen(namespace: string, ports: number[]): Promise<void> {
      const script = `
        const net = require('node:net');
        const ports = ${JSON.stringify(ports)};
        Promise.all(ports.map((port) => new Promise((resolve) => net.createServer((socket) => socket.on('error', () => {}).end())
          .listen(port, '0.0.0.0', resolve)))).then(() => console.log('listening'));`;
      await net.run(namespace, [process.execPath, '-e', script]).prints('listening');
    }

    /** Which of these ports of an address accept a connection from a namespace. */
    function reachable(namespace: string, address: string, ports: number[], from = 0): number[] {
      const script = `
        const net = require('node:net');
        Promise.all(${JSON.stringify(ports)}.map((port) => new Promise((resolve) => {
          const socket = net.connect({ host: '${address}', port, localPort: ${from} || undefined });
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

    test('whisper reaches the ports of the proxy that are for it, and no other', async () => {
      await listen(net.far, [...OUT, ...OTHERS]);
      expect(reachable(net.near, '10.0.0.2', [...OUT, ...OTHERS])).toEqual([...OUT, ...OTHERS]);
      await hold();
      expect(reachable(net.near, '10.0.0.2', [...OUT, ...OTHERS])).toEqual(OUT);
    });

    test('the port that whisper answers from begins no connection', async () => {
      await listen(net.far, [3128]);
      expect(reachable(net.near, '10.0.0.2', [3128], 7860)).toEqual([3128]);
      await hold();
      expect(reachable(net.near, '10.0.0.2', [3128], 7860)).toEqual([]);
    });

    test('the proxy reaches the port of whisper, and no other', async () => {
      await listen(net.near, [7860, 22]);
      expect(reachable(net.far, '10.0.0.1', [7860, 22])).toEqual([7860, 22]);
      await hold();
      expect(reachable(net.far, '10.0.0.1', [7860, 22])).toEqual([7860]);
    });

    test('no connection begins at a port that answers come from', async () => {
      await listen(net.near, [22]);
      expect(reachable(net.far, '10.0.0.1', [22], 3128)).toEqual([22]);
      await hold();
      expect(reachable(net.far, '10.0.0.1', [22], 443)).toEqual([]);
    });

    test('loopback stays whole', async () => {
      await listen(net.near, [22]);
      await hold();
      expect(reachable(net.near, '127.0.0.1', [22])).toEqual([22]);
    });

    test('what was refused is counted', async () => {
      await listen(net.far, [22]);
      await hold();
      const count = () =>
        Number(/^(\d+) anything else$/m.exec(inside([GATE, 'refused']).stdout)?.[1]);
      expect(count()).toBe(0);
      reachable(net.near, '10.0.0.2', [22]);
      expect(count()).toBeGreaterThan(0);
    });

    test('where nothing counts, it says so', async () => {
      await hold({ PATH: pathWithout('reject', 'counter') });
      expect(inside([GATE, 'refused']).stdout).toContain('this kernel does not count');
    });
  });

  test('health warns while there is no gate in front of whisper, and not once there is', async () => {
    const proxy = net.run(net.far, [process.execPath, MAIN], { UPSTREAM: 'http://10.0.0.1:7860' });
    await proxy.prints('listening');
    const health = () =>
      spawnSync('ip', ['netns', 'exec', net.far, process.execPath, MAIN, 'health'], {
        encoding: 'utf8',
      }).stdout;
    expect(health()).toMatch(/^ok: .*\nwarning: no gate stands in front of whisper: [^\n]*\n$/);
    await hold();
    expect(health()).toMatch(/^ok: [^\n]*\n$/);
  });

  describe('what fails, fails closed', () => {
    const cases: [what: string, env: () => Record<string, string>, says: string][] = [
      [
        'a kernel without nf_tables',
        () => ({ PATH: pathWithNft('no-', 'echo "Error: Protocol not supported" >&2; exit 1') }),
        'does not take the rules, so whisper stays down; it needs nf_tables (on the host: modprobe nf_tables), and this container NET_ADMIN: Error: Protocol not supported',
      ],
      [
        'an nft that says yes and does nothing',
        () => ({ PATH: pathWithNft('liar-', 'cat >/dev/null') }),
        'the rules were loaded, but they do not hold',
      ],
      [
        'an nft that lists what is not there',
        () => ({
          PATH: pathWithNft(
            'forger-',
            'cat >/dev/null; for hook in output input forward; do echo "type filter hook $hook priority filter; policy drop;"; done',
          ),
        }),
        'the rules were loaded, but they do not hold',
      ],
      [
        "an address that is not this container's",
        () => ({ WHISPER_ADDRESS: '10.0.0.9' }),
        'WHISPER_ADDRESS=10.0.0.9 is not this container',
      ],
      [
        'an address that is none',
        () => ({ PROXY_ADDRESS: '10.0.0.2 accept' }),
        'PROXY_ADDRESS=10.0.0.2 accept: not an IPv4 address; set it in whisper-gate.container',
      ],
      [
        'an address that is missing',
        () => ({ WHISPER_ADDRESS: '' }),
        'WHISPER_ADDRESS=: not an IPv4',
      ],
    ];
    test.each(cases)('%s', (_what, env, says) => {
      const { status, stderr } = inside([GATE], env());
      expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(says) });
      expect(stderr.trim().split('\n')).toHaveLength(1);
    });

    test('a container without NET_ADMIN', () => {
      const { status, stderr } = inside(['setpriv', '--bounding-set=-net_admin', GATE]);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining('this container NET_ADMIN'),
      });
    });

    test('an unknown word', () => {
      const { status, stderr } = inside([GATE, 'open']);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: 'whisper-gate: open: unknown; use hold (the default), check or refused\n',
      });
    });

    test('check tells whether they are in force', async () => {
      await hold();
      expect(inside([GATE, 'check']).status).toBe(0);
      inside(['nft', 'delete', 'rule', 'ip', 'whisper_gate', 'output', 'handle', '999']);
      inside(['nft', 'flush', 'ruleset']);
      const { status, stderr } = inside([GATE, 'check']);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining('not in force'),
      });
    });
  });
});
