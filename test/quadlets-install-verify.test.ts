import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';
import { isMissing } from './helpers/tools.ts';

const WHISPER = 'whisper.container';
const PROXY = 'whisper-proxy.container';
const ENV = 'whisper-proxy/whisper-proxy.env';
const INSTALLER = fileURLToPath(new URL('../quadlets/install', import.meta.url));

const fromWhisper = (calls: string[]) => calls.find((call) => /--from whisper/.test(call)) ?? '';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

describe('verify', () => {
  const MODES = 'private|shareable|private';
  const CONTAINER = (network: string, modes = MODES, option = '', rest = 'k8s-file|') =>
    `0|0|[no-new-privileges seccomp=/x/whisper-seccomp.json${option}]|${network}|false|${modes}|${rest}`;

  beforeEach(() => {
    host.install();
    host.write(WHISPER, host.read('whisper.container.example'));
    host.write(ENV, 'EGRESS_ALLOW_A=*.hf.co "example.org"\n');
    host.set('inspect-whisper-gate', 'gate1');
    host.set('inspect-whisper-proxy', 'systemd-visp-net\nsystemd-whisper-net');
    host.set('inspect-whisper', CONTAINER('container:gate1'));
  });

  test('probes from both places, with no more rights than whisper has', () => {
    const { status, stdout, calls } = host.install('verify');
    expect(status).toBe(0);
    expect(stdout.match(/^ok /gm)).toHaveLength(10);
    const [whisper = '', vispNet = ''] = calls.filter((call) => /verify/.test(call));
    expect(whisper).toMatch(/--cap-drop=all --security-opt=no-new-privileges .*--read-only/);
    expect(whisper).toMatch(/--network=container:whisper-gate .*whisper-seccomp\.json/);
    expect(whisper).toMatch(/verify --from whisper --proxy 10\.89\.77\.2 .*--allowed example\.org/);
    expect(vispNet).toMatch(
      /--network=systemd-visp-net .*verify --from visp-net --proxy 10\.89\.77\.2$/,
    );
  });

  test.each(['journald', 'passthrough', 'syslog'])('a log by %s shows', (driver) => {
    host.set('inspect-whisper', CONTAINER('container:gate1', MODES, '', `${driver}|`));
    const { status, stdout } = host.install('verify');
    expect(status).toBe(1);
    expect(stdout).toContain(`(LogDriver=k8s-file): ${driver}\n`);
  });

  test('what is open shows, and is the exit status', () => {
    host.set('inspect-whisper', CONTAINER('bridge'));
    const { status, stdout } = host.install('verify', '--json');
    expect(status).toBe(1);
    const findings = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(findings.filter(({ ok }) => !ok)).toEqual([
      { check: "whisper has no network but whisper-gate's", ok: false, detail: 'bridge' },
    ]);
  });

  test("looks at other containers, bridges, and the host's published ports", () => {
    host.set('networks/podman', '10.88.0.1\nfd00::1\n');
    host.set('networks/other', 'fd00::a\n<nil>\n');
    host.set('ps', '0.0.0.0:8080->80/tcp, 127.0.0.1:5000-5002->5000-5002/tcp\n');
    const also = fromWhisper(host.install('verify').calls);
    const places = ['10.88.0.1', '10.88.0.1:5000', '10.88.0.1:8080', '[fd00::1]', '[fd00::1]:5000'];
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const mine = own.filter(({ family, internal }) => family === 'IPv4' && !internal);
    places.push('10.88.0.1:5001', '10.88.0.1:5002', '[fd00::a]', ...mine.map((one) => one.address));
    for (const place of places) expect(also).toContain(` --also ${place} `);
  });

  test('tries no more places than there is time for, and says so', () => {
    host.set('networks/podman', '10.88.0.1\n');
    host.set('ps', '0.0.0.0:5000-5999->5000-5999/tcp\n');
    const { stderr, calls } = host.install('verify');
    expect(stderr).toMatch(/only 128 of \d{4} addresses and published ports are tried/);
    expect(fromWhisper(calls).match(/--also/g)).toHaveLength(128);
  });

  test('names no allowed host where a deny rule may cover it', () => {
    host.write(ENV, 'EGRESS_ALLOW=hf.co\nEGRESS_DENY_X=hf.co\n');
    expect(fromWhisper(host.install('verify').calls)).not.toContain('--allowed');
  });

  test('sees the clients of ingress in the unit and in the file', () => {
    const open = () => /--ingress-allowed/.test(host.install('verify').calls.join('\n'));
    host.write(PROXY, host.read(PROXY).replace(/^Environment=INGRESS_CLIENTS.*$/m, ''));
    host.write(ENV, 'INGRESS_CLIENTS=\n');
    expect(open()).toBe(true);
    host.write(ENV, 'INGRESS_CLIENTS="session-manager"\n');
    expect(open()).toBe(false);
  });

  test('says that the gate could not be asked, not that the kernel does not count', () => {
    host.set('no-refusals', '');
    expect(host.install('verify').stderr).toContain('whisper-gate could not be asked');
  });

  test('looks at whisper without a whisper.container too', () => {
    rmSync(join(host.units, WHISPER));
    expect(host.install('verify')).toMatchObject({ status: 0, stderr: '' });
    host.set('inspect-whisper', CONTAINER('bridge'));
    expect(host.install('verify')).toMatchObject({ status: 1, stderr: '' });
  });

  test('a whisper that does not run was not looked at, which is no success', () => {
    host.set('inspect-whisper', '');
    const { status, stdout } = host.install('verify');
    expect(status).toBe(1);
    expect(stdout).toContain(
      'NOT TRIED  whisper runs: it does not, so it was not looked at: start',
    );
  });

  test.each([
    ['host|private|private', '', 'shares no namespace'],
    ['private|host|private', '', 'shares no namespace'],
    ['private|private|host', '', 'shares no namespace'],
    ['private|private|private', ' unmask=ALL', 'no unmask'],
  ])('%s%s is open', (modes, option, what) => {
    host.set('inspect-whisper', CONTAINER('container:gate1', modes, option));
    const { status, stdout } = host.install('verify');
    expect([status, stdout]).toEqual([1, expect.stringMatching(`OPEN  whisper .*${what}`)]);
  });

  test('what podman does not say of a process, the kernel does: this one is on the host', () => {
    const rest = `k8s-file|${process.pid}`;
    host.set('inspect-whisper', CONTAINER('container:gate1', MODES, '', rest));
    const { status, stdout } = host.install('verify');
    const what = 'OPEN  whisper .*shares no namespace.*; ipc of the host';
    expect([status, stdout]).toEqual([1, expect.stringMatching(what)]);
  });

  test('a neighbour on whisper-net, or other rules than those of the gate, are open', () => {
    host.set('attached', 'session-manager\n');
    expect(host.install('verify')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('OPEN  nobody else is on whisper-net: session-manager'),
    });
    host.set('attached', '');
    host.set('other-rules', 'the rules differ');
    expect(host.install('verify')).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/OPEN {2}whisper-gate's rules .*: the rules differ/),
    });
  });

  test('a profile that is not ours but for its name is told of, by install too', () => {
    const profile = host.write('other/whisper-seccomp.json', '{}');
    host.set('options-of-whisper', `no-new-privileges\nseccomp=${profile}\n`);
    expect(host.install('verify').stderr).toContain('is not the one of this version');
    expect(host.install().stderr).toBe('');
    const unit = host.read(WHISPER);
    host.write(WHISPER, unit.replace('systemd/whisper-sec', 'systemd/other/whisper-sec'));
    expect(host.install().stderr).toContain('is not the one of this version');
  });

  test('a probe that finds a hole is the exit status too', () => {
    host.set('run-status', '1');
    expect(host.install('verify').status).toBe(1);
  });
});

test.skipIf(isMissing('shellcheck'))('shellcheck has nothing to say (needs shellcheck)', () => {
  const folder = `${INSTALLER}.d`;
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.bash'))
    .map((name) => join(folder, name));
  const root = fileURLToPath(new URL('..', import.meta.url));
  const lab = ['lab', 'rootfs', 'images', 'common.sh'].map((name) => `test/e2e/lab/${name}`);
  const others = ['src/gate/whisper-gate', '.ci/run', ...lab].map((name) => join(root, name));
  const { stdout } = spawnSync('shellcheck', [INSTALLER, ...files, ...others], {
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
});
