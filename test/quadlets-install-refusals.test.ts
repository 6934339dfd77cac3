import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';
import { isMissing } from './helpers/tools.ts';
import { UnitFile } from './helpers/unit-file.ts';

const PROXY = 'whisper-proxy.container';
const WHISPER = 'whisper.container';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

/** Runs it, and sees that it changed nothing. */
function refused(...args: string[]) {
  const before = [host.tree(), host.image('latest')];
  const result = host.install(...args);
  expect({ status: result.status, now: [host.tree(), host.image('latest')] }).toEqual({
    status: 1,
    now: before,
  });
  return result;
}

const MINE = `# My whisper.
[Unit]
Description=whisper
After=mongo.service

[Container]
ContainerName=whisper
Image=registry.example/whisper:1
Network=visp-net.network
Network=whisper-net.network
PodmanArgs=--cgroups=disabled --dns=10.89.1.1 --dns 10.89.0.1
PodmanArgs=--privileged
PublishPort=7860:7860
AddCapability=SYS_PTRACE
AddDevice=nvidia.com/gpu=all
Volume=%h/models:/models:ro,z
Volume=%t/podman/podman.sock:/run/podman.sock
Environment=MODEL=large HTTP_PROXY=http://proxy.example:3128 \\
  LANGUAGE=sv

[Service]
Restart=always
`;

const noPatch = isMissing('patch');

describe('a whisper.container of your own', () => {
  test.skipIf(noPatch)(
    'that does not lock whisper in is refused, with the diff that locks it (needs patch)',
    () => {
      const path = host.write(WHISPER, MINE);
      const { stdout, stderr } = refused();
      expect(stderr).toContain('Network=container:whisper-gate must be its only network');
      expect(stderr).toMatch(/install --dry-run 2>\/dev\/null \| patch /);
      expect(host.install('--dry-run').stdout).toBe(stdout);

      expect(host.patch(path, stdout)).toBe(0);
      const locked = new UnitFile(host.read(WHISPER));
      const ours = new UnitFile(readFileSync(join(host.quadlets, WHISPER), 'utf8'));
      for (const key of ['Network', 'DropCapability', 'NoNewPrivileges', 'SeccompProfile']) {
        expect(locked.all(key), key).toEqual(ours.all(key));
      }
      for (const key of ['PublishPort', 'AddCapability']) expect(locked.all(key), key).toEqual([]);
      // A proxy that whisper cannot reach goes, and all else stays.
      expect([...locked.pairs('Environment').keys()]).toEqual(['MODEL', 'LANGUAGE']);
      expect(locked.all('Image')).toEqual(['registry.example/whisper:1']);
      expect(locked.all('Volume')).toEqual(['%h/models:/models:ro,z']);
      expect(locked.all('AddDevice')).toEqual(['nvidia.com/gpu=all']);
      expect(locked.all('PodmanArgs')).toEqual([...ours.all('PodmanArgs'), '--cgroups=disabled']);
      expect(locked.all('After')).toContain('mongo.service');

      const kept = host.read(WHISPER);
      const { status, calls } = host.install();
      expect(status).toBe(0);
      expect(host.read(WHISPER)).toBe(kept);
      expect(calls).toContain('systemctl --user --no-block start whisper.service');
    },
  );

  test
    .skipIf(noPatch)
    .each([
      ['Network=podman'],
      ['Network='],
      ['AddCapability=NET_ADMIN'],
      ['DropCapability='],
      ['NoNewPrivileges=false'],
      ['SeccompProfile=unconfined'],
      ['PublishPort=7860'],
      ['DNS=10.0.0.1'],
      ['AddDevice=/dev/vsock'],
      ['Volume=/run/user/1000/podman/podman.sock:/s'],
      ['Volume=/:/host'],
      ['PodmanArgs=--privileged'],
      ['PodmanArgs=--gpus=all "--cap-add" NET_ADMIN'],
      ['PodmanArgs=--net=host'],
      ['PodmanArgs=--security-opt seccomp=unconfined'],
      ['PodmanArgs=--pid=host'],
      ['PodmanArgs=-v /run/podman/podman.sock:/s'],
      ['PodmanArgs=-p7860:7860'],
      ['PodmanArgs=\\\n  --device=/dev/vhost-vsock'],
      ['LogDriver=journald'],
      ['PodmanArgs=--log-driver=journald --cgroups=disabled'],
      ['PodmanArgs=--log-opt=max-size=-1'],
      ['[Unit]\nBindsTo='],
    ])('that is ours but for %j is refused, and its diff takes that out (needs patch)', (line) => {
    const ours = readFileSync(join(host.quadlets, WHISPER), 'utf8');
    const path = host.write(WHISPER, `${ours}\n[Container]\n${line}\n`);
    const { stdout } = refused();
    expect(host.patch(path, stdout)).toBe(0);
    expect(host.install().status).toBe(0);
  });

  test.each([
    ['DropCapability=ALL'],
    ['PodmanArgs=--cgroups=disabled --gpus all --security-opt=label=disable'],
    ['AddDevice=/dev/dxg\nVolume=/usr/lib/wsl:/usr/lib/wsl:ro'],
    ['# Network=host\n;Network=host'],
    ['Environment=HTTPS_PROXY=http://10.89.77.2:3128 NO_PROXY=localhost'],
  ])('that is ours with %j stays as it is', (line) => {
    const ours = readFileSync(join(host.quadlets, WHISPER), 'utf8');
    host.write(WHISPER, `${ours}\n[Container]\n${line}\n`);
    expect(host.install().status).toBe(0);
    expect(host.read(WHISPER)).toBe(`${ours}\n[Container]\n${line}\n`);
  });

  test.skipIf(noPatch)('without any network needs no gate, and gets none (needs patch)', () => {
    const path = host.write(WHISPER, '[Container]\nNetwork=none\nEnvironment=HTTP_PROXY=\n');
    expect(host.patch(path, refused().stdout)).toBe(0);
    const { entries } = new UnitFile(host.read(WHISPER));
    expect(entries.map(({ key }) => key)).toEqual([
      'LogDriver',
      'PodmanArgs',
      'DropCapability',
      'NoNewPrivileges',
      'SeccompProfile',
      'PodmanArgs',
      'Network',
      'Environment',
    ]);
    expect(host.install().status).toBe(0);
  });

  test('that the diff cannot lock is refused with what is left to change by hand', () => {
    const ours = readFileSync(join(host.quadlets, WHISPER), 'utf8');
    host.write(WHISPER, `${ours}\n[Container]\n\fPodmanArgs=--privileged\n`);
    expect(refused().stderr).toMatch(/does not mend all of it[\s\S]*is neither Key=value nor/);
  });

  test('is refused for a drop-in that unlocks it', () => {
    host.write(WHISPER, readFileSync(join(host.quadlets, WHISPER), 'utf8'));
    host.write(`${WHISPER}.d/gpu.conf`, '[Container]\nPodmanArgs=--privileged\n');
    expect(refused().stderr).toMatch(/drop-in .*gpu\.conf\) unlocks whisper/);
  });
});

describe('symbolic links', () => {
  test('a unit of ours is not written through one, and --into is the remedy', () => {
    const elsewhere = join(host.home, 'my units');
    mkdirSync(host.units, { recursive: true });
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, PROXY), '');
    symlinkSync(join(elsewhere, PROXY), join(host.units, PROXY));
    expect(refused().stderr).toContain(`use --into ${elsewhere.replaceAll(' ', '\\ ')}\n`);
  });

  test.each(['.config', '.config/containers/systemd'])('nor through a linked %s', (link) => {
    mkdirSync(join(host.home, link), { recursive: true });
    renameSync(join(host.home, link), join(host.home, 'real'));
    symlinkSync(join(host.home, 'real'), join(host.home, link));
    expect(refused().stderr).toMatch(/is a symbolic link.*use --into .*real/);
  });

  test('--into a repository: says which links there have to be, and starts when they are there', () => {
    const repository = join(host.root, 'my units');
    const first = host.install('--into', 'my units/');
    expect(existsSync(join(repository, PROXY))).toBe(true);
    expect(first.calls.join()).not.toContain('start');
    const links = first.stdout.match(/^ {2}(mkdir|ln) .*$/gm) ?? [];
    expect(spawnSync('bash', ['-ec', links.join('\n')]).status).toBe(0);
    expect(readFileSync(join(host.units, 'whisper-seccomp.json'), 'utf8')).toContain('default');

    const { status, calls } = host.install(`--into=${repository}`);
    expect(status).toBe(0);
    expect(calls).toContain('systemctl --user start whisper-gate.service');
    expect(host.install('uninstall').status).toBe(0);
    expect(readdirSync(host.units).sort()).toEqual(['visp-net.network', 'whisper-proxy']);
  });
});

describe('before anything is changed', () => {
  test('a dry run says what it would do, and does nothing', () => {
    const runs: string[][] = [[], ['--image', 'x'], ['rollback'], ['uninstall']];
    for (const args of runs) {
      const before = host.tree(host.root);
      const { stdout, calls } = host.install(...args, '--dry-run');
      if (args.length !== 1) expect(stdout).toMatch(/^would /m);
      expect(calls.join('\n')).not.toMatch(/build|load|pull|tag|reload|start|stop/);
      const strip = ({ 'fake/calls': _, ...tree }: Record<string, string>) => tree;
      expect(strip(host.tree(host.root)), args.join()).toEqual(strip(before));
    }
    host.install();
    const before = host.tree();
    expect(host.install('uninstall', '--dry-run').stdout).toContain('would stop whisper-gate');
    expect(host.install('rollback', '--dry-run').stdout).toContain('would put back');
    expect(host.tree()).toEqual(before);
  });

  test('an old systemd is refused, an old podman reported', () => {
    host.set('podman-version', '4.4.1');
    expect(host.install('--dry-run').stderr).toContain('podman is 4.4.1');
    host.set('systemd-version', '248');
    expect(refused().stderr).toContain('systemd is 248, and whisper-gate needs 249');
  });

  test('a session without its systemd is refused', () => {
    host.set('no-session', '');
    expect(refused().stderr).toContain('XDG_RUNTIME_DIR=/run/user/1000');
  });

  test('a user whose services end with the log-out is told so', () => {
    host.set('linger', 'no');
    expect(host.install().stderr).toContain('loginctl enable-linger tester');
  });

  test('an image that is not ours is refused', () => {
    host.set('run-status', '127');
    expect(refused('--image', 'x').stderr).toContain('the image x is not one of whisper-proxy');
  });
});

test.each([
  ['--nonsense'],
  ['reinstall'],
  ['--into'],
  ['--image='],
  ['rollback', '--into', 'x'],
  ['uninstall', '--json'],
  ['verify', '--dry-run'],
])('%s %s: wrong usage', (...args) => {
  const { status, stderr } = host.install(...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^quadlets\/install: .*; see quadlets\/install --help\n$/);
});
