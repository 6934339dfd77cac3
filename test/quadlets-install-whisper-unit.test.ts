import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const QUADLETS = fileURLToPath(new URL('../quadlets', import.meta.url));
const OURS = join(QUADLETS, 'whisper.container');
const folder = mkdtempSync(join(tmpdir(), 'whisper-unit-'));
afterAll(() => rmSync(folder, { recursive: true }));

function awk(mode: string, ...files: string[]): string {
  const [shared, program] = ['unlocking.awk', 'whisper-unit.awk'].map((name) =>
    join(QUADLETS, 'install.d', name),
  );
  const args = ['-v', `mode=${mode}`, '-f', `${shared}`, '-f', `${program}`, '--', ...files];
  const env = { PATH: process.env.PATH, HOME: '/srv/someone' };
  return spawnSync('awk', args, { encoding: 'utf8', env }).stdout;
}

/** Our whisper.container with something at its end. */
function unit(end: string, name = 'whisper.container', change = (text: string) => text): string {
  const path = join(folder, name);
  writeFileSync(path, `${change(readFileSync(OURS, 'utf8'))}\n[Container]\n${end}`);
  return path;
}

test.each([
  // Podman 4.6.2 ends a continuation at a blank line, at a comment, and where blanks follow the \; 5.4 does not.
  ['Environment=A=1 \\\n\nPodmanArgs=--privileged\n'],
  ['Environment=A=1 \\\n# c\nPodmanArgs=--privileged\n'],
  ['Environment=A=1 \\ \nPodmanArgs=--privileged\n'],
  ['Environment=A=1 \\\r\nPodmanArgs=--privileged\r\n'],
  ['# A=1 \\\nPodmanArgs=--gpus=all\n'],
  ['PodmanArgs=--priv\\\n  ileged\n'],
  ['PodmanArgs=--privileged \\'],
  ['PodmanArgs=--gpus=all \\\n  --privileged \\'],
  ['PodmanArgs=--priv\\x69leged\n'],
  ['PodmanArgs=--gpus=all $MORE\n'],
  ['PodmanArgs=--label "a --b"\n'],
  ['PodmanArgs=-qv/run:/x\n'],
  [' [Service]\nPodmanArgs=--gpus=all\n'],
  ['GlobalArgs=--log-level=debug\n'],
  ['ContainersConfModule=/etc/x.conf\n'],
  ['Unmask=ALL\n'],
  ['AddDevice=/dev/net/tun\n'],
  ['AddDevice=-/dev//mem\n'],
  ['AddDevice=/dev\n'],
  ...[
    ...['//run/podman', '/etc', '/etc/containers/systemd', '/home', '/home/me', '/home/me/.config'],
    ...['%h', '%h/', '~', '/srv/someone', '/srv/someone/.config/containers', '%E/containers', '%S'],
    ...['/var/lib/containers/storage', '/srv/../run', '/./run', '$X', '.', './'],
  ].map((place) => [`Volume=${place}:/x\n`]),
  ['Mount=type=bind,src=/run,dst=/src=x\n'],
  ['Mount=type=glob,src=/ru*,dst=/x\n'],
])('a whisper.container with %j is at fault, and the one that is locked is not', (end) => {
  const path = unit(end);
  expect(awk('faults', path)).not.toBe('');
  const locked = join(folder, 'locked');
  writeFileSync(locked, awk('lock', OURS, path));
  expect(awk('faults', locked)).toBe('');
});

test('a line that is neither an assignment nor a comment is at fault', () => {
  expect(awk('faults', unit('\fPodmanArgs=--privileged\n'))).toContain('neither Key=value nor');
});

test.each([
  ['Environment=A=1 \\\n  B=2\n'],
  ['PodmanArgs=\\\n  --gpus=all --label="x"\n'],
  ['AddDevice=/dev/dri\nAddDevice=nvidia.com/gpu=all\nUnmask=\n'],
  ...['%h/whisper/models', '/home/me/models', '/etc/localtime', '/etc/ssl/certs', './models'].map(
    (place) => [`Volume=${place}:/x:ro,z\n`],
  ),
  ['Mount=type=bind,source=/srv/models,destination=/models\n'],
  ['Volume=whisper-socket:/run/whisper:z\n'],
])('%j is no fault', (end) => {
  expect(awk('faults', unit(end))).toBe('');
});

describe('the log', () => {
  const without = (change: string) =>
    unit(change, 'log.container', (text) =>
      text.replace(/^LogDriver=.*\n/m, '').replace(/^PodmanArgs=--log-opt=.*\n/m, ''),
    );

  test.each([
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt=max-size=10mb\n'],
    ['LogDriver=json-file\nPodmanArgs=--cgroups=disabled --log-opt max-size=1g\n'],
    ['LogDriver=k8s-file\nLogOpt=max-size=5mb\n'],
    ['PodmanArgs=--log-driver=k8s-file --log-opt=max-size=0.5mb\n'],
    ['LogDriver=journald\nPodmanArgs=--log-driver k8s-file --log-opt=max-size=1024\n'],
    ['LogDriver=none\n'],
  ])('with %j stays as it is', (lines) => {
    const path = without(lines);
    expect(awk('faults', path)).toBe('');
    expect(awk('lock', OURS, path)).toBe(readFileSync(path, 'utf8'));
  });

  test.each([
    [''],
    ['LogDriver=journald\n'],
    ['LogDriver=journald\nPodmanArgs=--log-opt=max-size=10mb\n'],
    ['LogDriver=passthrough\n'],
    ['LogDriver=k8s-file\nLogDriver=\nPodmanArgs=--log-opt=max-size=10mb\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-driver=journald --log-opt=max-size=10mb\n'],
    ['LogDriver=k8s-file\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt=max-size=0\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt max-size=-1\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt=max-size=10mb\nPodmanArgs=\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt=max-size=10mb --log-opt=max-size=0\n'],
    ['LogDriver=k8s-file\nLogOpt=max-size=10mb\nLogOpt=\n'],
    ['LogDriver=k8s-file\nPodmanArgs=--log-opt=tag=x\n'],
  ])('with %j goes to the journal, or is unbounded; locked, it is not', (lines) => {
    const path = without(lines);
    expect(awk('faults', path)).toMatch(
      /^(LogDriver=k8s-file|PodmanArgs=--log-opt=\S+) is missing/,
    );
    const locked = join(folder, 'locked');
    writeFileSync(locked, awk('lock', OURS, path));
    expect(awk('faults', locked)).toBe('');
  });
});

describe('what locks whisper is the same in all places', () => {
  const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const [, diff = ''] = /\*\*whisper\.container\*\*(?:.*\n)+?\n((?: {4}.*\n)+)/.exec(README) ?? [];
  const lines = diff.split('\n').flatMap((line) => (line === '' ? [] : [line.slice(4)]));
  const side = (sign: string) =>
    lines
      .filter((line) => !line.startsWith(sign))
      .map((line) => `${line.replace(/^[ +-]/, '')}\n`)
      .join('');
  const added = lines.flatMap((line) => (line.startsWith('+') ? [line.slice(1)] : []));
  /** What only makes it work well. */
  const comfort = /^(Wants=|After=whisper-proxy|HostName=|PodmanArgs=--http-proxy)/;

  test("the README's diff is the one that install prints", () => {
    const path = join(folder, 'old.container');
    writeFileSync(path, side('+'));
    expect(added.length).toBeGreaterThan(10);
    expect(awk('lock', OURS, path)).toBe(side('-'));
  });

  test.each(added)(
    '%s: our whisper.container has it, and without it is at fault if it locks',
    (line) => {
      const text = readFileSync(OURS, 'utf8');
      const path = join(folder, 'without');
      writeFileSync(path, text.replace(`\n${line}\n`, '\n'));
      expect(readFileSync(path, 'utf8')).not.toBe(text);
      expect(awk('faults', path) === '').toBe(comfort.test(line));
    },
  );
});

test.each([
  'DropCapability=all\n',
  'After=whisper-gate.service\n',
  'Network=container:whisper-gate\n',
])('locked, the one line that lacks is added, and no other is touched: %j', (line) => {
  const text = readFileSync(OURS, 'utf8');
  const path = join(folder, 'lacks');
  writeFileSync(path, text.replace(line, ''));
  const locked = awk('lock', OURS, path);
  expect(locked.replace(line, '')).toBe(text.replace(line, ''));
  expect(locked).toContain(line);
});

test('locked, a line of ours that is there twice is there once', () => {
  const twice = awk('lock', OURS, unit('Network=container:whisper-gate\nDropCapability=\n'));
  expect(twice).toBe(`${readFileSync(OURS, 'utf8')}\n[Container]\n`);
});

test('what a file ends in does not reach into the next', () => {
  const dropIn = join(folder, 'drop-in.conf');
  writeFileSync(dropIn, '[Container]\nPodmanArgs=--privileged\n');
  expect(awk('faults', unit('Environment=A=1 \\'), dropIn)).toContain('PodmanArgs=--privileged:');
});
