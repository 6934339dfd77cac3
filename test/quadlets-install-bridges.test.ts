import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';

const NETWORKS = [
  'cni-podman0 bridge podman 10.88.0.1/10.88.0.0/16',
  'cni-podman1 bridge systemd-visp-net 10.89.0.1/10.89.0.0/24',
  'cni-podman2 bridge systemd-whisper-net 10.89.77.1/10.89.77.0/24',
  'cni-podman3 bridge sealed <nil>/10.89.3.0/24',
  'lan macvlan lan 192.168.1.1/192.168.1.0/24',
];

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
  host.set('backend', 'cni');
  host.set('run/netns/rootless-netns-0123', '');
  host.set('network-list', `${NETWORKS.join('\n')}\n`);
  for (const name of ['visp-net', 'whisper-net']) host.set(`networks/systemd-${name}`, '');
  bridge('cni-podman0', '10.88.0.1/16', 'veth0');
});
afterEach(() => host.remove());

/** A bridge in the rootless network namespace, and the interfaces that are attached to it. */
function bridge(name: string, addresses: string, attached = ''): void {
  host.set(`bridges/${name}`, `${attached}\n${addresses}\n`);
}

const deleted = (calls: string[]) => calls.filter((call) => /^ip link delete [\w-]+$/.test(call));

/** Looks at the bridges alone, which is a hundred times faster. */
const mend = () => host.call('mend_bridges refuse', 'checks.bash', 'bridges.bash');

/** Installs over networks as they are wanted, so that only the bridges are looked at. */
function install(...args: string[]) {
  host.set(
    'networks/systemd-whisper-net',
    'Subnet=10.89.77.0/24 Gateway=10.89.77.1 DisableDNS=true Internal=false',
  );
  return host.install(...args);
}

test('a bridge of a removed network is deleted before anything starts', () => {
  bridge('cni-podman2', '10.89.0.1/24');
  const { status, calls } = install();
  expect({ status, deleted: deleted(calls) }).toEqual({
    status: 0,
    deleted: ['ip link delete cni-podman2'],
  });
  expect(calls.indexOf('ip link delete cni-podman2')).toBeLessThan(
    calls.indexOf('systemctl --user start whisper-proxy.service'),
  );
});

describe('a bridge is deleted', () => {
  test.each([
    ['with the address of an earlier subnet', 'cni-podman2', '10.89.0.1/24'],
    ['with another address of the same subnet', 'cni-podman2', '10.89.77.254/24'],
    ['with another length of the prefix', 'cni-podman2', '10.89.77.1/16'],
    ['with an earlier address before the right one', 'cni-podman2', '10.89.5.1/24 10.89.77.1/24'],
    ['with an address of a network beside it', 'cni-podman2', '10.89.77.1/24 10.89.0.9/24'],
    ['of the network beside it', 'cni-podman1', '10.89.77.1/24'],
    ['of an internal network, which should have no address', 'cni-podman3', '10.89.3.1/24'],
    ['that belongs to no network', 'cni-podman7', '10.91.0.1/24'],
    ['that belongs to no network and has no address', 'cni-podman7', ''],
    ['of any name, with a subnet that is in use', 'br-old', '10.89.77.1/24'],
    ['of any name, with a subnet around one in use', 'br-old', '10.89.1.1/16'],
    ['of any name, with a part of a subnet in use', 'br-old', '10.89.77.200/29'],
  ])('%s', (_what, name, addresses) => {
    bridge(name, addresses);
    const { status, stdout, stderr, calls } = mend();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`delete the bridge ${name} (${addresses}): a removed network left`);
    expect(deleted(calls)).toEqual([`ip link delete ${name}`]);
  });
});

describe('a bridge stays', () => {
  test.each([
    ['with the address of its network', 'cni-podman2', '10.89.77.1/24', ''],
    ['without an address', 'cni-podman2', '', ''],
    ["with somebody's own address beside it", 'cni-podman2', '10.89.77.1/24 192.168.7.1/24', ''],
    ['with a container on it, of a removed network', 'cni-podman7', '10.91.0.1/24', 'veth1'],
    ["with a container on it, of a neighbour's network", 'cni-podman3', '10.89.9.1/24', 'veth1'],
    ['of another name, with a subnet of its own', 'br-mine', '172.20.0.1/28', ''],
    ['that a network of another driver is on', 'lan', '192.168.1.7/24', ''],
  ])('%s', (_what, name, addresses, attached) => {
    bridge(name, addresses, attached);
    const { status, stderr, calls } = mend();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(deleted(calls)).toEqual([]);
  });

  test('and the start is refused, while containers use the one that whisper-net gets', () => {
    bridge('cni-podman2', '10.89.5.1/24', 'veth1 veth2');
    host.set('running', 'old\nother\n');
    host.set('inspect-old', 'old 10.89.5.7 10.88.0.9\n');
    host.set('inspect-other', 'other 10.88.0.8\n');
    const { status, stderr, calls } = install();
    expect(status).toBe(1);
    expect(stderr).toContain(
      'the bridge cni-podman2 could not be deleted: 2 interfaces are attached',
    );
    expect(stderr).toContain('Stop the containers that use it (old), and run this again\n');
    expect(calls.join()).not.toMatch(/start whisper-(proxy|gate)/);
  });
});

test('a dry run names the bridge, and leaves it', () => {
  bridge('cni-podman2', '10.89.0.1/24');
  const { stdout, calls } = install('--dry-run');
  expect(stdout).toMatch(/^would delete the bridge cni-podman2 \(10\.89\.0\.1\/24\): /m);
  expect(deleted(calls)).toEqual([]);
});

test('the networks are made first, since only then podman names their bridges', () => {
  host.unset('networks/systemd-whisper-net');
  const { calls } = host.install();
  const network = calls.indexOf('systemctl --user start whisper-net-network.service');
  expect(network).toBeGreaterThan(0);
  expect(network).toBeLessThan(calls.lastIndexOf('podman info --format {{.Host.NetworkBackend}}'));
  expect(calls).not.toContain('systemctl --user start visp-net-network.service');
});

test.each([
  ['netavark', 'run/netns/rootless-netns-0123'],
  ['cni', 'run/netns/another'],
])('with %s and %s, no namespace is entered (that would make one)', (backend, netns) => {
  host.set('backend', backend);
  host.unset('run/netns');
  host.set(netns, '');
  bridge('cni-podman2', '10.89.0.1/24');
  const { status, calls } = mend();
  const entered = calls.filter((call) => call.startsWith('podman unshare'));
  expect({ status, entered: entered.length > 0 }).toEqual({
    status: 0,
    entered: backend !== 'netavark' && netns.includes('rootless'),
  });
});

test('uninstall takes the bridge of whisper-net along', () => {
  install();
  bridge('cni-podman2', '10.89.77.1/24');
  host.set(
    'network-list',
    `${NETWORKS.filter((line) => !line.includes('whisper-net')).join('\n')}\n`,
  );
  expect(deleted(host.install('uninstall').calls)).toEqual(['ip link delete cni-podman2']);
});

test('uninstall goes on past one that cannot be deleted, and tells it', () => {
  install();
  bridge('cni-podman2', '10.89.5.1/24', 'veth1 veth2');
  const { status, stderr } = host.install('uninstall');
  expect(status).toBe(0);
  expect(stderr).toMatch(/^note: the bridge cni-podman2 could not be deleted: 2 interfaces/m);
});

describe('where it cannot be seen', () => {
  const LOG = `${'x\n'.repeat(3)}Error: plugin type="bridge" failed (add): cni plugin bridge failed: failed to set bridge addr: "cni-podman2" already has an IP address different from 10.89.77.1/24\nwhisper-gate.service: Failed\n`;

  test('a note says so, and a start that fails for it ends with the command', () => {
    bridge('cni-podman2', '10.89.0.1/24');
    host.set('no-ip', '');
    host.set('fails-whisper-gate.service', '');
    host.set('log', LOG);
    const { status, stderr } = install();
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^note: whether a removed network left a bridge behind could not be seen/,
    );
    expect(stderr).toMatch(
      /left the bridge cni-podman2 behind.* delete it: podman unshare --rootless-netns ip link delete cni-podman2\nThen run this again\n$/,
    );
  });

  test('another error after that one has no such remedy', () => {
    host.set('fails-whisper-gate.service', '');
    host.set('log', `${LOG}Error: something else\n`);
    expect(install().stderr).not.toContain('ip link delete');
  });
});
