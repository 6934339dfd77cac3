import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';
import { isMissing } from './helpers/tools.ts';

const PROXY = 'whisper-proxy.container';
const GATE = 'whisper-gate.container';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

describe('back to the state of before', () => {
  test('though the folder of the configuration is gone', () => {
    host.install();
    rmSync(join(host.units, 'whisper-proxy'), { recursive: true });
    expect(host.install('rollback').status).toBe(0);
    expect(readdirSync(host.units)).toEqual([]);
  });

  test('which had no gate: only what has a unit is started', () => {
    host.install();
    rmSync(join(host.units, GATE));
    rmSync(host.state, { recursive: true });
    host.newVersion(PROXY);
    host.install();
    const { status, calls } = host.install('rollback');
    expect(status).toBe(0);
    expect(calls.join('\n')).toContain('start whisper-proxy.service');
    expect(calls.join('\n')).not.toMatch(/start whisper-gate/);
  });

  test('with the seccomp profile of before, which whisper has only after a restart', () => {
    host.install();
    host.write('whisper.container', host.read('whisper.container.example'));
    host.newVersion('whisper-seccomp.json');
    host.install('--no-start');
    host.set('states/whisper.service', 'active');
    expect(host.install('rollback', '--no-start').stdout).toContain('restart whisper.service');
    expect(host.get('states/whisper.service')).toBe('active');

    host.install();
    host.newVersion('whisper-seccomp.json');
    host.install();
    const { calls } = host.install('rollback');
    expect(calls).toContain('systemctl --user --no-block restart whisper.service');
  });

  test('of a first install: nothing of ours is started, the network goes, and what is yours is named', () => {
    host.install();
    const whisper = host.write('whisper.container', host.read('whisper.container.example'));
    const old = ['whisper.container.old', 'whisper-net.network.old'].map((name) =>
      host.write(name, ''),
    );
    host.set('networks/systemd-whisper-net', '');
    for (const name of ['whisper-net-network', 'whisper'])
      host.set(`states/${name}.service`, 'active');

    const dry = host.install('rollback', '--dry-run');
    const real = host.install('rollback');
    for (const { status, stdout } of [dry, real]) {
      expect(status).toBe(0);
      expect(stdout).not.toMatch(/start whisper|wait until/);
      expect(stdout).toContain('stop whisper-net-network.service\n');
      expect(stdout).toContain("remove podman's network systemd-whisper-net\n");
      expect(stdout).toContain(`${whisper} is yours and stays as it is: it joins whisper-gate`);
      expect(stdout).toMatch(/\nnext: put back your own .*\n$/);
      expect(stdout).toContain(`(there are: ${old.sort().join(' ')})`);
    }
    expect(dry.calls.join()).not.toMatch(/stop|network rm/);
    const stops = real.calls.filter((call) => call.includes(' stop '));
    expect(stops[0]).toBe('systemctl --user stop whisper-gate.service');
    expect(real.calls).toContain('podman network rm systemd-whisper-net');
  });

  test('which a dry run lists, file by file', () => {
    host.install();
    const { stdout } = host.install('rollback', '--dry-run');
    expect(stdout).toContain(`would remove ${join(host.units, GATE)}\n`);
    host.newVersion(PROXY);
    host.set('next-image', 'image2');
    host.install();
    host.write(PROXY, `${host.read(PROXY)}# mine\n`);
    const again = host.install('rollback', '--dry-run').stdout;
    const path = join(host.units, PROXY);
    expect(again).toContain(
      `would keep ${path}, which was edited, as ${path}.saved\nwould put back ${path}\n`,
    );
    expect(again).toContain('would make image1 localhost/whisper-proxy:latest again\n');
  });

  test('a list that cannot be read is a failure, and the next install goes on', () => {
    host.install();
    const before = host.tree();
    writeFileSync(
      join(host.quadlets, GATE),
      '[Container]\nUnknown=1\nNetwork=whisper-net.network:ip=10.89.77.3\n',
    );
    host.set('no-tac', '');
    expect(host.install().stderr).toMatch(/not everything could be put back: run this again/);
    expect(host.read(GATE)).toContain('Unknown=1');
    expect(host.install('rollback').status).toBe(1);
    rmSync(join(host.root, 'fake/no-tac'));
    expect(host.install().stderr).toMatch(/failed; everything is as it was before/);
    expect(host.tree()).toEqual(before);
  });

  test('what rollback --no-start put off is restarted by the next install', () => {
    host.install();
    host.newVersion(PROXY);
    host.install();
    host.install('rollback', '--no-start');
    // The file of before again, so that nothing but what was put off is a reason.
    writeFileSync(join(host.quadlets, PROXY), host.read(PROXY));
    expect(host.install().calls).toContain('systemctl --user restart whisper-proxy.service');
  });

  test('without a name for the image, where there was none', () => {
    writeFileSync(
      join(host.quadlets, GATE),
      '[Container]\nUnknown=1\nNetwork=whisper-net.network:ip=10.89.77.3\n',
    );
    expect(host.install().status).toBe(1);
    expect(host.image('latest')).toBe('');

    const archive = join(host.root, 'archive.tar');
    writeFileSync(archive, 'image7');
    host.set('run-status', '1');
    expect(host.install('--image', archive).stderr).toContain('is not one of whisper-proxy');
    expect(host.image('latest')).toBe('');
  });
});

describe('--into', () => {
  const install = (...args: string[]) => host.install('--into', 'my units', ...args);
  const link = () => {
    const commands = install().stdout.match(/^ {2}(mkdir|ln) .*$/gm) ?? [];
    return spawnSync('bash', ['-ec', commands.join('\n')]).status;
  };

  test('finds a visp-net.network that is only where podman looks', () => {
    host.write('visp-net.network', '[Network]\n');
    expect(install()).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(join(host.root, 'my units', 'visp-net.network'))).toBe(false);
  });

  test('can be repeated after a rollback, which takes the dead links away', () => {
    expect(link()).toBe(0);
    expect(host.install('rollback').status).toBe(0);
    expect(readdirSync(host.units)).toEqual([]);
    expect(link()).toBe(0);
    expect(install().status).toBe(0);
  });

  test('takes a link of ours that leads to nothing for ours', () => {
    expect(link()).toBe(0);
    rmSync(join(host.root, 'my units'), { recursive: true });
    expect(install()).toMatchObject({ status: 0, stderr: '' });
  });
});

test("other users' units are not one's own", () => {
  for (const user of ['1001', '1002']) {
    host.set(`etc/containers/systemd/users/${user}/visp-net.network`, '[Network]\n');
  }
  host.install();
  expect(existsSync(join(host.units, 'visp-net.network'))).toBe(true);
});

test.each(['1000/deep/', ''])('but those for users/%s are', (folder) => {
  host.set(`etc/containers/systemd/users/${folder}visp-net.network`, '[Network]\n');
  host.install();
  expect(existsSync(join(host.units, 'visp-net.network'))).toBe(false);
});

test('the command that follows a dry run is no dry run', () => {
  host.write('whisper.container', '[Container]\nNetwork=host\n');
  const { stderr } = host.install('--dry-run', '--no-start');
  expect(stderr).toMatch(
    /install --no-start --dry-run 2>\/dev\/null \| patch .*\n {2}\S.*install --no-start \n/,
  );
});

test.skipIf(isMissing('flock'))('two at once: the second is refused (needs flock)', async () => {
  mkdirSync(host.units, { recursive: true });
  const other = spawn('flock', [host.home, 'sh', '-c', 'echo held; exec cat']);
  await once(other.stdout, 'data');
  expect(host.install()).toMatchObject({
    status: 1,
    stderr:
      'quadlets/install: another quadlets/install is at work here: run this again when it has ended\n',
  });
  expect(host.install('--dry-run').status).toBe(0);
  other.stdin.end();
  await once(other, 'exit');
  expect(host.install().status).toBe(0);
});
