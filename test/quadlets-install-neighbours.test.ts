import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';

const QUADLETS = fileURLToPath(new URL('../quadlets', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'neighbours-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What is said of a file, without its folder. */
function told(name: string, text: string): string[] {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  const args = ['unlocking', 'neighbours'].flatMap((part) => [
    '-f',
    join(QUADLETS, `install.d/${part}.awk`),
  ]);
  const all = ['-v', 'clients=session-manager', ...args, '--', path];
  const { stdout, stderr } = spawnSync('awk', all, { encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.replaceAll(`${folder}/`, '').split('\n').slice(0, -1);
}

describe('what ends with whisper is named, with the line to write instead', () => {
  test.each([
    ['Requires=mongo.service whisper.service', 'Make it Requires=mongo.service, and add Wants='],
    ['Requires=whisper.service', 'Take the line out, and add Wants='],
    ['BindsTo=whisper-gate.service mongo.service', 'Make it BindsTo=mongo.service, and'],
    ['Requisite=whisper-proxy.service', 'Take the line out'],
    ['PartOf=whisper.container', 'Take the line out'],
    ['StopPropagatedFrom=whisper.service', 'Take the line out'],
    ['Requires = mongo.service \\\n  whisper.service', 'Make it Requires=mongo.service, and'],
  ])('%s', (line, remedy) => {
    for (const name of ['apache.container', 'site.target', 'apache.service.d/10.conf']) {
      const [said, ...more] = told(name, `[Unit]\nDescription=x\n${line}\n`);
      expect(said).toMatch(`${name}, line 3: `);
      expect(said).toContain(remedy);
      expect(more).toEqual([]);
    }
  });

  test.each([
    [
      'apache.container',
      '[Unit]\nRequires=mongo.service\nWants=whisper-proxy.service whisper.service\n',
    ],
    ['apache.container', '[Unit]\nAfter=whisper.service\n#Requires=whisper.service\n'],
    ['apache.container', '[Unit]\nRequires=whisperer.service my-whisper.service\n'],
    ['apache.container', '[Service]\nRequires=whisper.service\n'],
    [
      'whisper.container',
      '[Unit]\nBindsTo=whisper-gate.service\n[Install]\nRequiredBy=default.target\n',
    ],
    ['whisper.container.d/x.conf', '[Unit]\nBindsTo=whisper-gate.service\n'],
  ])('%s with %j does not', (name, text) => {
    expect(told(name, text)).toEqual([]);
  });

  test('the other way round as well', () => {
    const text = '[Install]\nRequiredBy=session-manager.service\n';
    expect(told('whisper.container', text).join()).toContain('Make it WantedBy=session-manager');
    const proxy = '[Unit]\nRequires=whisper-proxy.service\n';
    expect(told('whisper.container', proxy).join()).toContain('whisper ends whenever');
  });
});

describe('whom ingress lets in', () => {
  const unit = (lines: string) => `[Container]\nContainerName=session-manager\n${lines}\n`;

  test.each([
    ['PodmanArgs=--dns=10.89.1.1 --dns=10.89.0.1', 'Take the line out'],
    ['PodmanArgs=--cgroups=disabled --dns=10.89.1.1', 'Make it PodmanArgs=--cgroups=disabled'],
    ['PodmanArgs=--dns 10.89.1.1 --dns-search=x --gpus all', 'Make it PodmanArgs=--gpus all'],
    ['DNS=10.89.1.1', 'Take the line out'],
    ['Network=visp-net.network\nNetwork=other.network', 'on two networks'],
    ['Network=whisper-net.network:ip=10.89.77.9', 'only whisper-proxy and whisper-gate may'],
    ['Network=systemd-whisper-net', 'only whisper-proxy and whisper-gate may'],
    ['PodmanArgs=--network whisper-net', 'only whisper-proxy and whisper-gate may'],
  ])('with %j is told what to change', (lines, remedy) => {
    const said = told('session-manager.container', unit(lines));
    expect(said).toEqual([expect.stringContaining(remedy)]);
    // Whoever has no business with whisper may have name servers and networks of its own.
    const others = told('mongo.container', unit(lines).replace('session-manager', 'mongo'));
    expect(others.length).toBe(remedy.startsWith('only') ? 1 : 0);
  });

  test('must have the name that ingress knows', () => {
    for (const text of ['[Container]\n', '[Container]\nContainerName=manager\n']) {
      expect(told('session-manager.container', text).join()).toContain(
        'Add ContainerName=session-',
      );
    }
    expect(told('manager.container', unit('Network=visp-net.network:ip=10.89.0.9'))).toEqual([]);
  });
});

test("install tells it of podman's units, systemd's, and drop-ins of both", () => {
  const host = new FakeHost();
  try {
    const text = '[Unit]\nRequires=whisper.service\n';
    const paths = ['deep/apache.container', 'mongo.container.d/x.conf'].map((name) =>
      host.write(name, text),
    );
    paths.push(host.write('../../systemd/user/site.target', text));
    // What `systemctl enable` makes of an [Install] section: links to files that were read already.
    for (const folder of ['site.target.wants', 'site.target.requires']) {
      host.write(`../../systemd/user/${folder}/site.target`, text);
    }
    const { status, stderr } = host.install('--dry-run');
    expect(status).toBe(0);
    for (const path of paths) expect(stderr).toContain(`note: ${path}, line 2: Requires=whisper`);
    expect(stderr.trim().split('\n')).toHaveLength(3);
  } finally {
    host.remove();
  }
});
