import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';

const NETWORK = 'networks/systemd-whisper-net';
const PROXY = 'whisper-proxy.container';
const GATE = 'whisper-gate.container';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

const settings = (end: string) => `Subnet=10.89.77.0/24 Gateway=10.89.77.1 ${end}`;

describe('whisper-net', () => {
  test.each([
    'DisableDNS=false Internal=false',
    'DisableDNS=true Internal=true',
    'IPRange=10.89.77.128-10.89.77.254 DisableDNS=true Internal=false',
  ])('that is there with %s is refused, with what replaces it', (end) => {
    host.set(NETWORK, settings(end));
    host.set('states/whisper.service', 'active');
    const { status, stderr } = host.install();
    expect(status).toBe(1);
    expect(stderr).toContain(`${end}, not ${settings('DisableDNS=true Internal=false')},`);
    expect(stderr).toMatch(/ stop whisper\.service\n {2}podman network rm systemd-whisper-net\n/);
    expect(host.tree()).toEqual({});
  });

  test('everybody who is on it is stopped or removed first', () => {
    host.set(NETWORK, settings('DisableDNS=false Internal=false'));
    host.set('attached', 'session-manager\nwhisper\nby-hand\n');
    host.set('unit-of-session-manager', 'session-manager.service');
    host.set('unit-of-whisper', 'whisper.service');
    for (const name of ['session-manager', 'whisper']) host.set(`states/${name}.service`, 'active');
    expect(host.install().stderr).toContain(
      '  systemctl --user stop whisper.service session-manager.service\n' +
        '  podman rm --force by-hand\n  podman network rm systemd-whisper-net\n',
    );
  });

  test.each([
    ['', 'DisableDNS=true Internal=false'],
    ['Internal=true\n', 'DisableDNS=true Internal=true'],
    ['IPRange=10.89.77.0/28\n', 'IPRange=10.89.77.1-10.89.77.15 DisableDNS=true Internal=false'],
  ])('that is there as a file with %j says stays', (line, end) => {
    host.set(NETWORK, settings(end));
    const ours = readFileSync(join(host.quadlets, 'whisper-net.network'), 'utf8');
    host.write('whisper-net.network', ours + line);
    expect(host.install()).toMatchObject({ status: 0, stderr: '' });
  });

  test('a file that does not fit the addresses is refused', () => {
    host.write('whisper-net.network', '[Network]\n');
    expect(host.install()).toMatchObject({ status: 1 });
    expect(host.install().stderr).toContain('has Subnet=(none)');
    host.write('whisper-net.network', '[Network]\nSubnet=10.89.64.0/18\nDisableDNS=true\n');
    expect(host.install().status).toBe(0);
  });
});

test('who else is on whisper-net is told', () => {
  const path = host.write(
    'mine/session-manager.container',
    '[Container]\nContainerName=session-manager\nNetwork=whisper-net.network\n',
  );
  host.write('mongo.container', '[Container]\n#Network=whisper-net.network\n');
  host.install();
  const { status, stderr } = host.install();
  expect(status).toBe(0);
  expect(stderr).toContain(
    `note: ${path}, line 3: Network=whisper-net.network: only whisper-proxy`,
  );
  expect(stderr).not.toContain('mongo');
});

test.each([
  ['PROXY_ADDRESS', '10.89.77.2', 'whisper-proxy'],
  ['WHISPER_ADDRESS', '10.89.77.3', 'whisper-gate'],
])("%s that is not the container's address is refused", (name, address, unit) => {
  host.install();
  host.write(GATE, host.read(GATE).replace(`${name}=${address}`, `${name}=10.89.77.5`));
  const { status, stderr } = host.install();
  expect(status).toBe(1);
  expect(stderr).toContain(
    `${name}=10.89.77.5 in whisper-gate.container is not ${unit}'s address, ip=${address} in ${unit}.container: `,
  );
});

test.each(['whisper-net', 'visp-net'])('%s that was pruned is made again', (name) => {
  host.set(`states/${name}-network.service`, 'active');
  const again = `systemctl --user restart ${name}-network.service`;
  const { calls } = host.install();
  expect(calls.indexOf(again)).toBeGreaterThan(0);
  expect(calls.indexOf(again)).toBeLessThan(
    calls.indexOf('systemctl --user start whisper-proxy.service'),
  );
  host.set(`networks/systemd-${name}`, settings('DisableDNS=true Internal=false'));
  expect(host.install().calls).not.toContain(again);
});

describe('without any network', () => {
  const example = (name: string) =>
    readFileSync(join(host.quadlets, `no-network/${name}.example`), 'utf8');
  beforeEach(() => {
    host.write('whisper.container', example('whisper.container'));
  });

  test('brings the proxy of that kind, neither gate nor whisper-net, and starts it', () => {
    const { status, stdout, stderr, calls } = host.install();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(host.read(PROXY)).toBe(example(PROXY));
    for (const name of [GATE, 'whisper-net.network', 'whisper.container.example']) {
      expect(existsSync(join(host.units, name)), name).toBe(false);
    }
    expect(calls.join('\n')).not.toContain('start whisper-gate');
    expect(stdout).toContain('whisper-proxy is healthy\n');
  });

  test('is installed over, upgraded and taken back', () => {
    host.write(PROXY, example(PROXY));
    expect(host.install().status).toBe(0);
    expect(host.install().stdout).toContain('are up to date');
    const newer = host.newVersion(`no-network/${PROXY}.example`);
    expect(host.install().status).toBe(0);
    expect(host.read(PROXY)).toBe(newer);
    const { status, calls } = host.install('rollback');
    expect(status).toBe(0);
    expect(host.read(PROXY)).toBe(newer.replace('# newer\n', ''));
    expect(calls.join('\n')).not.toMatch(/start whisper-gate/);
    expect(host.install('uninstall').stdout).not.toContain('without whisper-gate');
  });

  test('comes from the other kind: says what is of no use any more, and uninstall takes it', () => {
    const locked = readFileSync(join(host.quadlets, 'whisper.container'), 'utf8');
    rmSync(join(host.units, 'whisper.container'));
    host.install();
    host.write('whisper.container', example('whisper.container'));
    const { status, stderr } = host.install();
    expect(status).toBe(0);
    expect(stderr).toMatch(/gate\.container is of no use[\s\S]*net\.network is of no use/);
    expect(host.read(PROXY)).toBe(example(PROXY));

    host.write('whisper.container', locked);
    expect(host.install()).toMatchObject({ status: 0, stderr: '' });
    expect(host.read(PROXY)).toContain('Network=whisper-net.network:');
    host.install('uninstall');
    expect(existsSync(join(host.units, GATE))).toBe(false);
  });

  test("verify looks at podman's records and from visp-net", () => {
    host.install();
    host.set('inspect-whisper-proxy', 'systemd-visp-net');
    const records = (network: string) =>
      host.set(
        'inspect-whisper',
        `0|0|[no-new-privileges seccomp=/x/whisper-seccomp.json]|${network}|false|private|shareable|private|k8s-file|`,
      );
    records('none');
    const { status, stdout, stderr, calls } = host.install('verify');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('ok  whisper has no network: none');
    const probes = calls.filter((call) => /^podman run .* verify /.test(call));
    expect(probes).toEqual([
      expect.stringMatching(/--network=systemd-visp-net .*--from visp-net$/),
    ]);
    records('bridge');
    expect(host.install('verify').status).toBe(1);
  });
});
