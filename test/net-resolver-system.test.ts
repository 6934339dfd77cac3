import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { canMakeNamespaces, ip, killGroup } from './helpers/ingress-namespaces.ts';
import { isMissing } from './helpers/tools.ts';

const MODULE = new URL('../dist/net/system-resolver.js', import.meta.url).pathname;

/** For node -e: what getaddrinfo(3) and our own resolver say about names. */
const COMPARE = `
  const names = process.argv.slice(1);
  const { lookup } = require('node:dns/promises');
  import(${JSON.stringify(MODULE)}).then(async ({ SystemResolver }) => {
    const { resolve } = new SystemResolver();
    const say = (promise) => promise.then((found) => [...new Set(found)].sort(), ({ code }) => code);
    const system = async (name) =>
      say(lookup(name, { all: true }).then((found) => found.map(({ address }) => address)));
    const said = {};
    for (const name of names) {
      said[name] = { system: await system(name), own: await say(resolve(name)) };
    }
    console.log(JSON.stringify(said));
  });
`;

const HOSTS = `
# podman writes lines like these
127.0.0.1\tlocalhost localhost.localdomain
::1 localhost
10.89.77.3 whisper-gate Gate.Example   # and a comment
10.89.77.4 several
10.89.77.5\tseveral
fd77::5 several
#10.0.0.1 commented
fe80::1%eth0 zoned
not-an-address broken
10.0.0 short-address
10.89.77.6
`;

let count = 0;

/** A network namespace with its own /etc, and dnsmasq as CNI's dnsname runs it, on 10.89.0.1. */
function makeNamespace(resolvConf: string, dnsmasq: string[]) {
  count += 1;
  const name = `wp-names-${process.pid}-${count}`;
  const etc = join('/etc/netns', name);
  mkdirSync(etc, { recursive: true });
  writeFileSync(join(etc, 'hosts'), HOSTS);
  writeFileSync(join(etc, 'resolv.conf'), resolvConf);
  writeFileSync(join(etc, 'nsswitch.conf'), 'hosts: files dns\n');
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-names-'));
  const addn = join(folder, 'addn-hosts');
  writeFileSync(
    addn,
    '10.89.0.5\tsession-manager 0123456789ab\n10.89.0.6 mongo\nfd90::6 mongo\nfd90::7 six\n',
  );
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  ip('-n', name, 'address', 'add', '10.89.0.1/32', 'dev', 'lo');
  const args = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-hosts',
    '--no-resolv',
    '--user=root',
  ];
  const child = spawn(
    'ip',
    [
      'netns',
      'exec',
      name,
      'dnsmasq',
      ...args,
      '--listen-address=10.89.0.1',
      '--bind-interfaces',
      '--expand-hosts',
      '--domain=dns.podman',
      '--local=/dns.podman/',
      `--addn-hosts=${addn}`,
      '--pid-file=',
      ...dnsmasq,
    ],
    { stdio: 'ignore', detached: true },
  );
  onTestFinished(() => {
    killGroup(child.pid);
    ip('netns', 'del', name);
    for (const each of [etc, folder]) rmSync(each, { recursive: true });
  });
  const run = (command: string, ...rest: string[]) =>
    spawnSync('ip', ['netns', 'exec', name, command, ...rest], { encoding: 'utf8' });
  // Until it listens.
  for (let tries = 0; tries < 200; tries += 1) {
    if (run('getent', 'ahosts', 'mongo.dns.podman').status === 0) break;
  }
  return { run };
}

const isPossible = !isMissing('dnsmasq') && !isMissing('getent') && canMakeNamespaces();

describe.skipIf(!isPossible)(
  'beside getaddrinfo (needs root, iproute2, dnsmasq)',
  { timeout: 300_000 },
  () => {
    test.each<[what: string, resolvConf: string, dnsmasq: string[]]>([
      [
        'as podman with CNI sets it up',
        'search dns.podman\nnameserver 10.89.0.1\n',
        ['--domain-needed'],
      ],
      [
        'with a host domain, several options and a server that is not there',
        'search example.test dns.podman\nnameserver 10.89.0.2\nnameserver 10.89.0.1\noptions ndots:2 timeout:1 attempts:1\n',
        ['--address=/example.test/'],
      ],
      ['without a search list', 'nameserver 10.89.0.1\n', []],
      [
        'where everything else gets no answer',
        'search dns.podman\nnameserver 10.89.0.1\noptions timeout:1 attempts:1\n',
        ['--server=10.89.0.1#9'],
      ],
    ])('%s, every name comes out the same', (_, resolvConf, dnsmasq) => {
      const { run } = makeNamespace(resolvConf, [
        ...dnsmasq,
        '--host-record=both.example,192.0.2.8,2001:db8::8',
        '--cname=alias.example,both.example',
        '--txt-record=text.example,hello',
        '--address=/gone.example/',
      ]);
      const names = [
        ...['localhost', 'whisper-gate', 'WHISPER-GATE', 'gate.example', 'several', 'commented'],
        ...['zoned', 'broken', 'short-address', 'session-manager', 'Session-Manager'],
        ...['session-manager.dns.podman', '0123456789ab', 'mongo', 'six', 'six.dns.podman'],
        ...['both.example', 'alias.example', 'text.example', 'gone.example', 'a.gone.example'],
        ...['nobody', 'nobody.dns.podman', 'no_body.example', 'elsewhere.example.org', '10.1.2.3'],
      ];
      const { stdout, stderr } = run(process.execPath, '-e', COMPARE, ...names);
      expect(stderr).toBe('');
      const said = JSON.parse(stdout) as Record<string, { system: unknown; own: unknown }>;
      expect(Object.keys(said)).toEqual(names);
      const own = Object.fromEntries(names.map((name) => [name, said[name]?.own]));
      // Behind a server that is not there, no other one's NXDOMAIN is certain to us.
      const expected = (system: unknown) =>
        system === 'ENOTFOUND' && resolvConf.includes('10.89.0.2') ? 'EAI_AGAIN' : system;
      expect(own).toEqual(
        Object.fromEntries(names.map((name) => [name, expected(said[name]?.system)])),
      );
      expect(said['whisper-gate']?.own).toEqual(['10.89.77.3']);
      if (/dns\.podman/.test(resolvConf))
        expect(said['session-manager']?.own).toEqual(['10.89.0.5']);
    });
  },
);
