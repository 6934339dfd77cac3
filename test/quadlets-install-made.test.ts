import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';

const QUADLETS = fileURLToPath(new URL('../quadlets', import.meta.url));
const OURS = readFileSync(join(QUADLETS, 'whisper.container'), 'utf8');

// What podman 5.4.2 makes of our whisper.container, without the environment.
const LOCKED =
  '/usr/bin/podman run --name whisper --cidfile=%t/%N.cid --replace --rm --cgroups=split --network container:whisper-gate -d --log-driver k8s-file --security-opt=no-new-privileges --security-opt seccomp=%E/containers/systemd/whisper-seccomp.json --cap-drop all --log-opt=max-size=10mb';

/** What is at fault in the command that podman would run. */
function judge(
  command: string,
  unit = 'BindsTo=whisper-gate.service\nAfter=a.service whisper-gate.service',
): string {
  const args = ['unlocking', 'made-service'].flatMap((name) => [
    '-f',
    join(QUADLETS, `install.d/${name}.awk`),
  ]);
  const env = { PATH: process.env.PATH, HOME: '/srv/me', FOLDERS: '/srv/me/units\n/srv/repo' };
  const input = `---whisper-gate.service---\nExecStart=x\n---whisper.service---\n[Unit]\n${unit}\n[Service]\nExecStart=${command}\n`;
  return spawnSync('awk', args, { encoding: 'utf8', env, input }).stdout;
}

describe('the command that podman would run', () => {
  test.each([
    ['', ''],
    ['--network container:whisper-gate', '--net=none'],
    ['--cap-drop all', '--cap-drop=ALL'],
    ['--security-opt=no-new-privileges', '--security-opt no-new-privileges'],
    ['%E/containers/systemd', '%h/.config/containers/systemd'],
    ['%E/containers/systemd', '/srv/repo/sub'],
    ['--log-driver k8s-file', '--log-driver=json-file'],
    ['--log-driver k8s-file', '--log-driver journald --log-driver none'],
    ['--log-opt=max-size=10mb', '--log-opt max-size=1g'],
  ])('with %s as %s is locked', (part, instead) => {
    const harmless = `--pid=private --userns keep-id --security-opt mask=/proc --env A=\${B} -v %h/m:/m`;
    expect(judge(`${LOCKED.replace(part, instead)} ${harmless} image`)).toBe('');
  });

  test.each([
    ['--network container:whisper-gate', ''],
    ['--network container:whisper-gate', '--network host'],
    ['--cap-drop all', '--cap-drop net_raw'],
    ['--security-opt=no-new-privileges', '--security-opt=no-new-privileges=false'],
    ['%E/containers/systemd', '/tmp'],
    ['%E/containers/systemd', '%E/containers/systemd/..'],
    ['podman run', 'podman --module=/x run'],
    ['--log-driver k8s-file', ''],
    ['--log-driver k8s-file', '--log-driver journald'],
    ['--log-driver k8s-file', '--log-driver=passthrough'],
    ['--log-opt=max-size=10mb', ''],
    ['--log-opt=max-size=10mb', '--log-opt max-size=0'],
  ])('with %s as %j is not', (part, instead) => {
    expect(judge(LOCKED.replace(part, instead))).not.toBe('');
  });

  test.each([
    'After=whisper-gate.service',
    'BindsTo=whisper-gate.service',
    'BindsTo=whisper-gate.service\nAfter=whisper-gate.service\nBindsTo=',
  ])('in a service with %j alone outlives its gate, unless it has no network', (unit) => {
    expect(judge(LOCKED, unit)).toContain('=whisper-gate.service is missing');
    expect(judge(LOCKED.replace('container:whisper-gate', 'none'), unit)).toBe('');
  });

  test.each([
    ...['--net=none', '--pid host', '--uts=host', '"--ipc" "host"', '--userns=ns:/proc/1/ns/user'],
    ...['--cap-add net_admin', '--privileged', '--security-opt seccomp=unconfined', '-p 80:80'],
    ...['--security-opt unmask=ALL', '--device /dev/vsock', '--device=/dev/mem', '-v /run:/x'],
    ...['$MORE', `--\${A}`, '%i--privileged', '--priv%ileged', '--pid ho%ist', '\\x2d-privileged'],
    ...['--log-driver=journald', '--log-opt max-size=-1'],
    ...['--publish=80:80', '--rootfs /', '\nExecStart=/usr/bin/podman run'],
  ])('with %j at its end is not', (more) => {
    expect(judge(`${LOCKED} ${more}`)).not.toBe('');
  });
});

describe('install', () => {
  let host: FakeHost;
  beforeEach(() => {
    host = new FakeHost();
    host.write('whisper.container', OURS);
  });
  afterEach(() => host.remove());

  test.each([
    'PodmanArgs=--pid\nPodmanArgs=host',
    'Network=bridge',
    'DropCapability=',
    'BindsTo=',
    'PodmanArgs=--privileged',
  ])('sees a drop-in of another folder, always: %j', (lines) => {
    expect(host.install().status).toBe(0);
    host.set('drop-ins/x.conf', `[Container]\n${lines}\n`);
    const before = host.tree();
    for (const args of [[], ['--dry-run']]) {
      const { status, stderr, calls } = host.install(...args);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /would run whisper unlocked, so nothing was changed[\s\S]*\n(--|BindsTo)/,
      );
      expect(calls.join()).not.toMatch(/build|start/);
    }
    expect(host.tree()).toEqual(before);
  });

  test('shows what the generator says of a whisper.container that it does not understand', () => {
    host.write('whisper.container', `${OURS}\n[Container]\nUnknown=1\n`);
    for (const args of [[], ['--dry-run']]) {
      expect(host.install(...args).stderr).toMatch(
        /^quadlets\/install: podman's generator makes no whisper\.service of whisper\.container: converting "whisper\.container": unsupported key 'Unknown' in .*whisper\.container\n$/,
      );
    }
  });

  test('judges a whisper.container of --into before its links are there', () => {
    rmSync(join(host.units, 'whisper.container'));
    host.write('../../../my/whisper.container', OURS);
    const into = ['--into', join(host.home, 'my')];
    expect(host.install(...into)).toMatchObject({ status: 0, stderr: '' });
    host.set('drop-ins/x.conf', '[Container]\nNetwork=bridge\n');
    expect(host.install(...into).status).toBe(1);
  });
});
