import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

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
function unit(end: string, name = 'whisper.container'): string {
  const path = join(folder, name);
  writeFileSync(path, `${readFileSync(OURS, 'utf8')}\n[Container]\n${end}`);
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
