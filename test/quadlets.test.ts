import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { isKnown, isRuntime } from '../src/config/variables.ts';
import { parseNetwork } from '../src/policy/addresses.ts';
import { EGRESS_PORT, INGRESS_PORT, PROXY, WHISPER } from '../src/verify/targets.ts';
import { splitPair, UnitFile } from './helpers/unit-file.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const QUADLETS = join(ROOT, 'quadlets');
const ENV_FILE = join(QUADLETS, 'whisper-proxy', 'whisper-proxy.env');
const SYSTEMD_SECTIONS = ['Unit', 'Service', 'Install'];

const units = new Map(
  readdirSync(QUADLETS)
    .filter((name) => /\.(container|network|volume)$/.test(name))
    .map((name) => [name, new UnitFile(readFileSync(join(QUADLETS, name), 'utf8'))]),
);
const examples = readdirSync(join(QUADLETS, 'no-network')).map((name) => {
  const text = readFileSync(join(QUADLETS, 'no-network', name), 'utf8');
  return [`no-network/${name}`, new UnitFile(text)] as const;
});
const proxy = unit('whisper-proxy.container');
const gate = unit('whisper-gate.container');
const whisper = unit('whisper.container');
const whisperNet = unit('whisper-net.network');

const PROXY_ADDRESS = proxy.network('whisper-net.network').get('ip') ?? '';
const WHISPER_ADDRESS = gate.network('whisper-net.network').get('ip') ?? '';

function unit(name: string): UnitFile {
  const found = units.get(name);
  if (!found) throw new Error(`quadlets/${name} is missing`);
  return found;
}

describe('what Podman 4.6.2 can read', () => {
  const known = new Map(
    readFileSync(new URL('fixtures/quadlet-keys.txt', import.meta.url), 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, section, keys] = /^(\w+): (.+)$/.exec(line) ?? [];
        return section && keys ? [[section, new Set(keys.split(' '))] as const] : [];
      }),
  );

  test.each([...units, ...examples])(
    '%s has only keys that the generator knows',
    (_name, { entries }) => {
      const strange = entries.filter(
        ({ section, key }) => !SYSTEMD_SECTIONS.includes(section) && !known.get(section)?.has(key),
      );
      expect(strange).toEqual([]);
    },
  );

  test.each([...units, ...examples])('%s leaves readiness to conmon', (_name, { entries }) => {
    expect(entries.filter(({ key }) => key === 'Notify')).toEqual([]);
  });

  test('users are numbers: a name would become root', () => {
    const users = [...units.values()].flatMap((each) => [
      ...each.all('User'),
      ...each.all('Group'),
    ]);
    const image = /^USER (\S+)$/m.exec(readFileSync(join(ROOT, 'Containerfile'), 'utf8'))?.[1];
    for (const user of [...users, image]) expect(user).toMatch(/^[1-9]\d*(:[1-9]\d*)?$/);
  });
});

test('a reload is what the running proxy says of it, and nothing else', () => {
  const units = [proxy, ...examples.flatMap(([name, unit]) => (/proxy/.test(name) ? [unit] : []))];
  expect(units).toHaveLength(2);
  for (const { entries } of units) {
    const reloads = entries.filter(({ key }) => key === 'ExecReload').map(({ value }) => value);
    expect(reloads).toEqual(['/usr/bin/podman exec whisper-proxy whisper-proxy reload']);
  }
});

describe('the addresses', () => {
  test('proxy and whisper have their own in the subnet of whisper-net', () => {
    const [subnet = ''] = whisperNet.all('Subnet');
    const [gateway = ''] = whisperNet.all('Gateway');
    const prefix = parseNetwork(subnet).prefix;
    const hosts = [gateway, PROXY_ADDRESS, WHISPER_ADDRESS];
    expect(prefix).toBe(24);
    expect(new Set(hosts).size).toBe(3);
    for (const host of hosts) expect(host.split('.', 3)).toEqual(subnet.split('.', 3));
  });

  test('proxy and whisper keep their hardware addresses, so that no neighbour has a stale one', () => {
    const macs = [
      proxy.network('whisper-net.network').get('mac'),
      proxy.network('visp-net.network').get('mac'),
      gate.network('whisper-net.network').get('mac'),
    ];
    expect(new Set(macs).size).toBe(3);
    // Locally administered, unicast (IEEE 802): nobody's product has it.
    for (const mac of macs) expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  });

  test('whisper-net has no DNS, and no range that CNI would hold static addresses to', () => {
    expect(whisperNet.all('DisableDNS')).toEqual(['true']);
    expect(whisperNet.all('IPRange')).toEqual([]);
  });

  test('the proxy listens for egress on its address, and serves whisper alone', () => {
    const environment = proxy.pairs('Environment');
    expect(environment.get('EGRESS_LISTEN')).toBe(`${PROXY_ADDRESS}:3128`);
    expect(environment.get('EGRESS_TLS_LISTEN')).toBe(`${PROXY_ADDRESS}:443`);
    expect(environment.get('EGRESS_HTTP_LISTEN')).toBe(`${PROXY_ADDRESS}:80`);
    expect(environment.get('DNS_LISTEN')).toBe(`${PROXY_ADDRESS}:53`);
    expect(environment.get('EGRESS_CLIENTS')).toBe(WHISPER_ADDRESS);
    expect(environment.get('INGRESS_CLIENTS')).toBe('session-manager');
  });

  test('the proxy finds whisper by the name that the image has as upstream', () => {
    const host = new URL(imageEnvironment().UPSTREAM ?? '').hostname;
    expect(proxy.podmanOption('add-host')).toEqual([`${host}:${WHISPER_ADDRESS}`]);
  });

  test('whisper is sent to the proxy for names', () => {
    expect(gate.podmanOption('dns')).toEqual([PROXY_ADDRESS]);
    expect(gate.podmanOption('add-host')).toEqual([`whisper-proxy:${PROXY_ADDRESS}`]);
  });

  test('whisper has no proxy variables, not even those of the host: a refusal has to look like being offline', () => {
    const all = [whisper, ...examples.map(([, each]) => each)];
    const names = all.flatMap((each) => [...each.pairs('Environment').keys()]);
    expect(names.filter((name) => /_proxy$/i.test(name))).toEqual([]);
    for (const each of all.filter((one) => one.all('ContainerName')[0] === 'whisper')) {
      expect(each.podmanOption('http-proxy')).toEqual(['false']);
    }
  });

  test('those that it offers name the proxy, in both spellings, and leave loopback out', () => {
    const text = readFileSync(join(QUADLETS, 'whisper.container'), 'utf8');
    const offered = new UnitFile(text.replace(/^#(?=Environment=.*_PROXY)/gm, ''));
    const environment = offered.pairs('Environment');
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']) {
      expect(environment.get(name), name).toBe(`http://${PROXY_ADDRESS}:3128`);
    }
    for (const name of ['NO_PROXY', 'no_proxy']) {
      expect(environment.get(name), name).toBe('localhost,127.0.0.1,::1');
    }
  });

  test('verify looks for the proxy and whisper where they are', () => {
    expect([PROXY, WHISPER]).toEqual([PROXY_ADDRESS, WHISPER_ADDRESS]);
    expect(proxy.pairs('Environment').get('EGRESS_LISTEN')).toBe(`${PROXY}:${EGRESS_PORT}`);
    expect(new URL(imageEnvironment().UPSTREAM ?? '').port).toBe(String(INGRESS_PORT));
  });

  test('the gate has the two addresses that its rules name', () => {
    expect(gate.pairs('Environment')).toEqual(
      new Map([
        ['WHISPER_ADDRESS', WHISPER_ADDRESS],
        ['PROXY_ADDRESS', PROXY_ADDRESS],
      ]),
    );
  });

  test('no other address stands in any file', () => {
    const addresses = [...units.values()].flatMap(({ entries }) =>
      entries.flatMap(({ value }) => value.match(/\b10(?:\.\d+){3}\b/g) ?? []),
    );
    const known = [PROXY_ADDRESS, WHISPER_ADDRESS, '10.89.77.0', '10.89.77.1'];
    expect(addresses.filter((address) => !known.includes(address))).toEqual([]);
  });

  test('the name whisper on visp-net is the proxy', () => {
    expect(proxy.network('visp-net.network').get('alias')).toBe('whisper');
    expect(gate.networks()).toEqual(['whisper-net.network']);
    for (const each of [gate, whisper]) expect(each.all('PublishPort')).toEqual([]);
  });
});

describe('what the containers may do', () => {
  test('the proxy has a read-only root and no capability but to bind low ports', () => {
    expect(proxy.all('ReadOnly')).toEqual(['true']);
    expect(proxy.all('Tmpfs')).toEqual([expect.stringMatching(/^\/tmp(:|$)/)]);
    expect(proxy.all('DropCapability')).toEqual(['all']);
    expect(proxy.all('AddCapability')).toEqual(['NET_BIND_SERVICE']);
    expect(proxy.all('NoNewPrivileges')).toEqual(['true']);
  });

  test('the proxy does not route between its networks', () => {
    const sysctls = proxy.pairs('Sysctl');
    const name = proxy.network('whisper-net.network').get('interface_name');
    expect(sysctls.get('net.ipv4.ip_forward')).toBe('0');
    expect(sysctls.get('net.ipv4.conf.all.accept_source_route')).toBe('0');
    expect(sysctls.get(`net.ipv6.conf.${name}.disable_ipv6`)).toBe('1');
  });

  test('whisper has no capability at all, no way to one, and our system calls only', () => {
    expect(whisper.all('DropCapability')).toEqual(['all']);
    expect(whisper.all('AddCapability')).toEqual([]);
    expect(whisper.all('NoNewPrivileges')).toEqual(['true']);
    // %E is ~/.config for a user's units and /etc for the system's (systemd.unit(5)).
    expect(whisper.all('SeccompProfile')).toEqual(['%E/containers/systemd/whisper-seccomp.json']);
  });

  test("whisper has no network but the gate's", () => {
    expect(whisper.all('Network')).toEqual([`container:${gate.all('ContainerName')[0]}`]);
  });

  test('the gate may load rules, and nothing else', () => {
    expect(gate.all('ReadOnly')).toEqual(['true']);
    expect(gate.all('DropCapability')).toEqual(['all']);
    expect(gate.all('AddCapability')).toEqual(['NET_ADMIN']);
    expect(gate.all('NoNewPrivileges')).toEqual(['true']);
    expect(gate.pairs('Sysctl').get('net.ipv6.conf.all.disable_ipv6')).toBe('1');
  });
});

describe('how they start and stop', () => {
  test('none gives up, and none is taken down by another, but whisper by its gate', () => {
    for (const each of [proxy, gate, whisper]) {
      for (const key of ['Requires', 'PartOf', 'Requisite']) expect(each.all(key)).toEqual([]);
      expect(each.all('BindsTo')).toEqual(each === whisper ? ['whisper-gate.service'] : []);
      expect(each.all('Restart')).toEqual(['always']);
      expect(each.all('StartLimitIntervalSec')).toEqual(['0']);
    }
  });

  test('whisper starts after the rules are in force, and comes back with the gate', () => {
    expect(whisper.all('After')).toContain('whisper-gate.service');
    expect(gate.all('ExecStartPost')).toEqual([
      '/usr/bin/podman exec whisper-gate whisper-gate check',
    ]);
    expect(gate.all('Upholds')).toEqual(['whisper.service']);
  });

  test('the names of visp-net outlive the proxy: whoever is on it moves the name server out', () => {
    const onVispNet = [...units, ...examples].filter(([, each]) =>
      each.networks().includes('visp-net.network'),
    );
    expect(onVispNet.map(([name]) => name)).toEqual([
      'whisper-proxy.container',
      'no-network/whisper-proxy.container.example',
    ]);
    for (const [, each] of onVispNet) {
      expect(each.all('ExecStartPost')).toEqual(proxy.all('ExecStartPost'));
      expect(each.all('ExecStopPost')).toEqual(proxy.all('ExecStopPost'));
      // Neither may fail the unit: there is no such process with netavark.
      for (const command of [...each.all('ExecStartPost'), ...each.all('ExecStopPost')])
        expect(command).toMatch(/^-.*dnsname\/systemd-visp-net/);
    }
    expect(proxy.all('ExecStartPost')[0]).toContain('StartTransientUnit');
    expect(proxy.all('ExecStopPost')[0]).toContain('--network=systemd-visp-net');
  });

  test('podman waits longer than the program, and systemd longer than podman', () => {
    const program = readConfig({ UPSTREAM: 'embedded' }).shutdownTimeout / 1000;
    const podman = Number(proxy.podmanOption('stop-timeout')[0]);
    expect(podman).toBeGreaterThan(program);
    expect(Number(proxy.all('TimeoutStopSec')[0])).toBeGreaterThan(podman);
  });
});

describe('the configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const lines = readFileSync(ENV_FILE, 'utf8').split('\n');
  // An example is an assignment right behind its #, prose has a space there.
  const examples = lines.flatMap((line) => (/^#\S*=/.test(line) ? [line.slice(1)] : []));

  /** The configuration that the units give the program, with a file of these lines. */
  function configOf(fileLines: string[], more: Record<string, string | undefined> = {}) {
    const file = join(folder, 'whisper-proxy.env');
    writeFileSync(file, fileLines.join('\n'));
    const environment = Object.fromEntries(proxy.pairs('Environment'));
    return readConfig({ ...imageEnvironment(), ...environment, ...more, CONFIG_FILE: file });
  }

  test('the image looks for the file where the unit mounts its folder', () => {
    const [source, target] = proxy.all('Volume')[0]?.split(':') ?? [];
    expect(join(QUADLETS, source ?? '', 'whisper-proxy.env')).toBe(ENV_FILE);
    expect(imageEnvironment().CONFIG_FILE).toBe(`${target}/whisper-proxy.env`);
  });

  test('what may change while the program runs stands in the file alone', () => {
    expect([...proxy.pairs('Environment').keys()].filter(isRuntime)).toEqual([]);
  });

  test('the lines that publish the status page take the # away and a token, and no other host sees it', () => {
    const text = readFileSync(join(QUADLETS, 'whisper-proxy.container'), 'utf8');
    const published = new UnitFile(text.replace(/^#(?=PublishPort=|Environment=ADMIN)/gm, ''));
    const [publish = ''] = published.all('PublishPort');
    const listen = published.pairs('Environment').get('ADMIN_LISTEN');
    expect(proxy.all('PublishPort')).toEqual([]);
    expect(publish).toMatch(/^127\.0\.0\.1:9090:9090$/);
    expect(listen).toBe('0.0.0.0:9090');
    const admin = { ADMIN_LISTEN: listen };
    expect(() => configOf([], admin)).toThrow(/it needs ADMIN_TOKEN/);
    expect(configOf(['ADMIN_TOKEN=0123456789abcdef'], admin).admin.listen).toMatchObject({
      port: 9090,
    });
  });

  test('the shipped file sets nothing, so everything is denied', () => {
    expect(lines.filter((line) => line !== '' && !line.startsWith('#'))).toEqual([]);
    const { egress } = configOf(lines);
    expect(egress.policy).toEqual({
      allow: [],
      deny: [],
      mode: 'enforce',
      maxUpload: { default: null, groups: {} },
    });
  });

  test('every example is a setting that can be switched on', () => {
    expect(examples.length).toBeGreaterThan(10);
    for (const example of examples) {
      expect(isKnown(splitPair(example)[0]), example).toBe(true);
      expect(() => configOf([example]), example).not.toThrow();
    }
    expect(() => configOf(examples)).not.toThrow();
  });

  test('the limits and log settings shown are the defaults', () => {
    const shown = examples.filter((line) => !/^EGRESS_(ALLOW|DENY|MODE|MAX_UPLOAD)/.test(line));
    const rest = { file: null, settings: {}, fixed: {} };
    expect({ ...configOf(shown), ...rest }).toEqual({ ...configOf([]), ...rest });
  });
});

function imageEnvironment(): Record<string, string> {
  const containerfile = readFileSync(join(ROOT, 'Containerfile'), 'utf8');
  const [, settings = ''] = /^ENV ((?:.*\\\n)*.*)$/m.exec(containerfile) ?? [];
  return Object.fromEntries(settings.split(/[\s\\]+/).map(splitPair));
}

const GENERATORS = [
  '/usr/libexec/podman/quadlet',
  '/usr/lib/podman/quadlet',
  '/usr/lib/systemd/user-generators/podman-user-generator',
];
const generator = GENERATORS.find((path) => existsSync(path));

test.skipIf(!generator)("a unit is made of every file (needs podman's quadlet generator)", () => {
  const { status, stdout, stderr } = spawnSync(generator ?? '', ['-dryrun', '-user'], {
    encoding: 'utf8',
    env: { ...process.env, QUADLET_UNIT_DIRS: QUADLETS },
  });
  const made = [...stdout.matchAll(/^---(.+)---$/gm)].map(([, name]) => name);
  const wanted = [...units.keys()].map((name) =>
    name.replace('.container', '.service').replace(/\.(network|volume)$/, '-$1.service'),
  );
  expect({ status, made: made.sort() }, stderr).toEqual({ status: 0, made: wanted.sort() });
});
