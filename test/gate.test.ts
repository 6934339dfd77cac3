import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canTryGate, GATE, GateHost } from './helpers/gate.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const CORE = ['bitwise', 'cmp', 'immediate', 'meta', 'payload'];

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

describe.skipIf(!canTryGate())('whisper-gate (needs root, ip netns and nft)', () => {
  let host: GateHost;
  beforeEach(() => {
    host = new GateHost();
  });
  afterEach(() => host.remove());

  /** The expressions that the rules in force are made of. */
  function expressions(): string[] {
    const { stdout } = host.inside(['nft', '--debug=netlink', 'list', 'ruleset']);
    const names = [...stdout.matchAll(/^\s+\[ (\w+)/gm)].map(([, name]) => name ?? '');
    return [...new Set(names)].sort();
  }

  describe('the rules', () => {
    test('answer and count where the kernel can', async () => {
      await host.hold();
      expect(expressions()).toEqual([...CORE, 'counter', 'reject'].sort());
    });

    test('count where it cannot answer', async () => {
      await host.hold({ PATH: pathWithout('reject') });
      expect(expressions()).toEqual([...CORE, 'counter'].sort());
    });

    test('are of core expressions alone where it can neither', async () => {
      await host.hold({ PATH: pathWithout('reject', 'counter') });
      expect(expressions()).toEqual(CORE);
    });

    test('keep no state', async () => {
      await host.hold();
      expect(host.inside(['nft', 'list', 'ruleset']).stdout).not.toMatch(
        /\bct\b|\bset\b|@|limit|quota/,
      );
    });

    test('are loaded again over themselves, and stay one set', async () => {
      await host.hold();
      const before = host.inside(['nft', '--stateless', 'list', 'ruleset']).stdout;
      await host.hold();
      expect(host.inside(['nft', '--stateless', 'list', 'ruleset']).stdout).toBe(before);
    });
  });

  test('where nothing counts, it says so', async () => {
    await host.hold({ PATH: pathWithout('reject', 'counter') });
    expect(host.inside([GATE, 'refused']).stdout).toContain('this kernel does not count');
  });

  test('health warns while there is no gate in front of whisper, and not once there is', async () => {
    const proxy = host.run(host.far, [process.execPath, MAIN], {
      UPSTREAM: 'http://10.0.0.1:7860',
    });
    await proxy.prints('listening');
    const health = () =>
      spawnSync('ip', ['netns', 'exec', host.far, process.execPath, MAIN, 'health'], {
        encoding: 'utf8',
      }).stdout;
    expect(health()).toMatch(/^ok: .*\nwarning: no gate stands in front of whisper: [^\n]*\n$/);
    await host.hold();
    expect(health()).toMatch(/^ok: [^\n]*\n$/);
  });

  test('what holds the namespace has no privilege left', async () => {
    // As the container runs it: another user than root, with one capability that exec hands on.
    const gate = host.run(
      host.near,
      [
        ...[
          'setpriv',
          '--reuid=10001',
          '--regid=10001',
          '--clear-groups',
          '--bounding-set=-all,+net_admin',
        ],
        ...['--inh-caps=-all,+net_admin', '--ambient-caps=-all,+net_admin', GATE],
      ],
      host.env,
    );
    await gate.prints('locked');
    const { stdout } = spawnSync('ip', ['netns', 'pids', host.near], { encoding: 'utf8' });
    const held = stdout
      .trim()
      .split('\n')
      .map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'));
    expect(held.length).toBeGreaterThan(0);
    for (const status of held) {
      expect(status).toMatch(/^CapEff:\s0000000000000000$/m);
      expect(status).toMatch(/^CapPrm:\s0000000000000000$/m);
      expect(status).toMatch(/^NoNewPrivs:\s1$/m);
    }
  });

  test('a signal while the rules are loaded ends it', async () => {
    const slow = pathWithNft('slow-', 'sleep 1; exec $NFT "$@"');
    // Process 1 of a namespace, as in a container: no signal ends that by itself.
    const words = ['netns', 'exec', host.near, 'unshare', '--pid', '--fork', '--kill-child', GATE];
    const outer = spawn('ip', words, { env: { ...host.env, PATH: slow }, stdio: 'pipe' });
    const ended = once(outer, 'close');
    const children = `/proc/${outer.pid}/task/${outer.pid}/children`;
    let inner = '';
    while (inner === '') {
      await setTimeout(20);
      inner = readFileSync(children, 'utf8').trim();
    }
    await setTimeout(300);
    process.kill(Number(inner), 'SIGTERM');
    expect(await ended).toEqual([143, null]);
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
      const { status, stderr } = host.inside([GATE], env());
      expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(says) });
      expect(stderr.trim().split('\n')).toHaveLength(1);
    });

    test('a container without NET_ADMIN', () => {
      const { status, stderr } = host.inside(['setpriv', '--bounding-set=-net_admin', GATE]);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining('this container NET_ADMIN'),
      });
    });

    test('an unknown word', () => {
      const { status, stderr } = host.inside([GATE, 'open']);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: 'whisper-gate: open: unknown; use hold (the default), check or refused\n',
      });
    });

    test('check tells whether they are in force', async () => {
      await host.hold();
      expect(host.inside([GATE, 'check']).status).toBe(0);
      host.inside(['nft', 'flush', 'ruleset']);
      const { status, stderr } = host.inside([GATE, 'check']);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining('not in force'),
      });
    });

    test('check finds a rule too many', async () => {
      await host.hold();
      host.inside('nft insert rule ip whisper_gate output tcp dport 22 accept'.split(' '));
      expect(host.inside([GATE, 'check']).status).toBe(1);
    });
  });
});
