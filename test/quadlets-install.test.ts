import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';

const UNITS = ['visp-net.network', 'whisper-gate.container', 'whisper-net.network'];
const PROXY = 'whisper-proxy.container';
const ENV = 'whisper-proxy/whisper-proxy.env';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

/** What was asked of systemd that changes something. */
function jobs(calls: string[]): string[] {
  return calls
    .filter((call) => /^systemctl .*\b(start|restart|stop|daemon-reload)\b/.test(call))
    .map((call) => call.replace('systemctl --user ', ''));
}

describe('the first time', () => {
  test('builds, copies, starts, waits, and says where the log is', () => {
    const { status, stdout, stderr, calls } = host.install();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const name of [...UNITS, PROXY, ENV, 'whisper-seccomp.json']) {
      expect(existsSync(join(host.units, name)), name).toBe(true);
    }
    expect(jobs(calls)).toEqual([
      'daemon-reload',
      'start whisper-proxy.service',
      'start whisper-gate.service',
    ]);
    expect(host.image('latest')).toBe('image1');
    expect(stdout).toContain('journalctl --user -u whisper-proxy -o cat');
  });

  test('brings whisper as an example, since without an image it would fail every five seconds', () => {
    const { stdout } = host.install();
    expect(existsSync(join(host.units, 'whisper.container'))).toBe(false);
    const example = host.read('whisper.container.example');
    expect(stdout).toContain(`put your image and folders into ${host.units}/whisper.container.ex`);

    host.write('whisper.container', example.replace('localhost/replace-with-your-whisper', 'mine'));
    expect(jobs(host.install().calls)).toContain('--no-block start whisper.service');
  });

  test('lets the container read the configuration, whatever the umask is', () => {
    host.installUnder('077');
    expect(statSync(join(host.units, 'whisper-proxy')).mode & 0o777).toBe(0o755);
    expect(statSync(join(host.units, ENV)).mode & 0o777).toBe(0o644);
  });

  test('takes an archive or the name of an image', () => {
    const archive = join(host.root, 'an archive.tar');
    writeFileSync(archive, 'image7');
    expect(host.install('--image', archive).status).toBe(0);
    expect(host.image('latest')).toBe('image7');

    host.set('next-image', 'image8');
    expect(host.install('--image=registry.example/whisper-proxy:2').status).toBe(0);
    expect([host.image('latest'), host.image('previous')]).toEqual(['image8', 'image7']);
    expect(host.install('--image', './missing.tar').stderr).toContain('./missing.tar is not there');
  });

  test('starts whisper with its gate, and says where to look meanwhile', () => {
    const unit = readFileSync(join(host.quadlets, 'whisper.container'), 'utf8');
    host.write('whisper.container', unit.replace('localhost/replace-with-your-whisper', 'mine'));
    // What systemd does by itself: Upholds=.
    host.set('states/whisper.service', 'active');
    const { stdout, calls } = host.install();
    expect(jobs(calls)).not.toContain('--no-block restart whisper.service');
    expect(stdout).not.toContain('may take its time');
    rmSync(join(host.root, 'fake/states/whisper.service'));
    expect(host.install().stdout).toContain('to start: journalctl --user -u whisper -f\n');
  });

  test('a checkout that is not whole is refused', () => {
    rmSync(join(host.checkout, 'Containerfile'));
    expect(host.install()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('has no Containerfile, so this is not a whole checkout: get'),
    });
    expect(host.tree()).toEqual({});
  });

  test('leaves starting to you, if you want it so', () => {
    expect(jobs(host.install('--no-start').calls)).toEqual([]);
  });

  test('never touches a visp-net that is there', () => {
    host.write('my units/visp-net.network', '[Network]\nSubnet=10.1.0.0/24\n');
    expect(host.install().status).toBe(0);
    expect(existsSync(join(host.units, 'visp-net.network'))).toBe(false);
    host.install('uninstall');
    expect(host.read('my units/visp-net.network')).toContain('10.1.0.0');
  });

  test('joins a visp-net that was made without a quadlet', () => {
    host.set('networks/visp-net', '');
    expect(host.install().stderr).toContain('visp-net was made without a quadlet');
    expect(host.read(PROXY)).toContain('\nNetwork=visp-net:alias=whisper,');
    expect(existsSync(join(host.units, 'visp-net.network'))).toBe(false);
  });
});

describe('again', () => {
  beforeEach(() => expect(host.install().status).toBe(0));

  test('changes nothing', () => {
    const before = host.tree();
    const { status, calls } = host.install();
    expect(status).toBe(0);
    expect(host.tree()).toEqual(before);
    expect(jobs(calls).filter((job) => job.startsWith('restart'))).toEqual([]);
  });

  test('upgrades what nobody edited, and restarts only what that is about', () => {
    const newer = host.newVersion(PROXY);
    const { calls } = host.install();
    expect(host.read(PROXY)).toBe(newer);
    expect(jobs(calls)).toContain('restart whisper-proxy.service');
    expect(jobs(calls)).not.toContain('restart whisper-gate.service');
  });

  test('a new image restarts both, keeps the one of before, and warns of a whisper that runs', () => {
    host.set('states/whisper.service', 'active');
    host.set('next-image', 'image2');
    const { calls, stderr } = host.install();
    expect(stderr).toContain('whisper is running');
    expect([host.image('latest'), host.image('previous')]).toEqual(['image2', 'image1']);
    expect(jobs(calls)).toContain('restart whisper-gate.service');
  });

  test('what --no-start put off is restarted the next time', () => {
    host.set('next-image', 'image2');
    host.install('--no-start');
    expect(jobs(host.install().calls)).toContain('restart whisper-gate.service');
    expect(jobs(host.install().calls)).not.toContain('restart whisper-gate.service');
  });

  test.each([PROXY, ENV])('keeps an edited %s, and puts a newer one beside it', (name) => {
    const mine = `${host.read(name)}# mine\n`;
    host.write(name, mine);
    expect(host.install().stdout).toContain(`${name} is yours and stays as it is\n`);
    expect(existsSync(join(host.units, `${name}.new`))).toBe(false);

    const newer = host.newVersion(name);
    expect(host.install().stdout).toContain('diff -u');
    expect([host.read(name), host.read(`${name}.new`)]).toEqual([mine, newer]);
    expect(host.install().stdout).not.toContain('diff -u');
  });

  test('refuses a configuration that the program could not read, and says what opens it', () => {
    host.write(ENV, '');
    expect(host.install().stderr).toBe('');
    chmodSync(join(host.units, ENV), 0o600);
    chmodSync(join(host.units, 'whisper-proxy'), 0o700);
    const { status, stderr, calls } = host.install();
    expect(status).toBe(1);
    expect(stderr).toMatch(/could not read .*: run chmod 755 .* && chmod 644 .*\.env\n$/);
    expect(calls.join()).not.toContain('build');
    host.write(PROXY, host.read(PROXY).replace(/^Volume=.*$/m, ''));
    expect(host.install().status).toBe(0);
  });
});

describe('what it says', () => {
  test('its version, first and by an option', () => {
    writeFileSync(join(host.checkout, 'package.json'), '{\n  "version": "1.2.3",\n  "x": {}\n}\n');
    expect(host.install('--version')).toMatchObject({ status: 0, stdout: 'whisper-proxy 1.2.3\n' });
    expect(host.install('--dry-run').stdout).toMatch(/^whisper-proxy 1\.2\.3: the files go to /);
    rmSync(join(host.checkout, 'package.json'));
    expect(host.install('--version').stdout).toBe('whisper-proxy of an unknown version\n');
  });

  test('the next step, as its last words', () => {
    const example = join(host.units, 'whisper.container.example');
    expect(host.install().stdout).toMatch(/\nnext: [^\n]*\n$/);
    expect(host.install().stdout).toContain(`\nnext: put your image and folders into ${example},`);
    const unit = host.write('whisper.container', host.read('whisper.container.example'));
    expect(host.install().stdout).toMatch(/\nnext: [^\n]*\n$/);
    host.write(
      'whisper.container',
      host.read('whisper.container').replace(/^Image=.*/m, 'Image=x'),
    );
    expect(host.install().stdout).toMatch(/\nwhether whisper is locked in: [^\n]* verify\n$/);
    expect(unit).toBe(join(host.units, 'whisper.container'));
  });
});

describe('the way back', () => {
  test('an upgrade is taken back: files, image, and the record of what was installed', () => {
    host.install();
    const before = host.tree(host.units);
    host.newVersion(PROXY);
    host.newVersion(ENV);
    host.set('next-image', 'image2');
    host.install();
    const { status, calls } = host.install('rollback');
    expect(status).toBe(0);
    expect(host.tree(host.units)).toEqual(before);
    expect(host.image('latest')).toBe('image1');
    expect(jobs(calls)).toContain('restart whisper-proxy.service');
    expect(host.install('rollback').stderr).toContain('nothing to go back to');
    host.install();
    expect(host.read(PROXY)).toContain('# newer');
  });

  test('a first install is taken back, and nothing is left but what was edited since', () => {
    const mine = host.write('mongo.container', '[Container]\n');
    host.install();
    host.write(ENV, 'LOG_LEVEL=debug\n');
    const { calls } = host.install('rollback');
    expect(jobs(calls)).toContain('stop whisper-gate.service');
    expect(Object.keys(host.tree(host.units))).toEqual([
      'mongo.container',
      'whisper-proxy',
      `${ENV}.saved`,
    ]);
    expect(existsSync(mine)).toBe(true);
  });

  test('uninstall stops and removes ours, and leaves what is yours', () => {
    host.install();
    host.set('networks/systemd-whisper-net', '');
    host.write('whisper-gate.container', `${host.read('whisper-gate.container')}# mine\n`);
    host.write('whisper.container', host.read('whisper.container.example'));
    const { status, stdout, calls } = host.install('uninstall');
    expect(status).toBe(0);
    expect(jobs(calls).slice(0, 2)).toEqual([
      'stop whisper-gate.service',
      'stop whisper-proxy.service',
    ]);
    expect(Object.keys(host.tree(host.units))).toEqual([
      'visp-net.network',
      'whisper-gate.container.saved',
      'whisper-proxy',
      ENV,
      'whisper.container',
    ]);
    expect(stdout).toContain('to remove it: podman rmi localhost/whisper-proxy:latest\n');
    expect(stdout).toMatch(/whisper-proxy\.env stays: it is your configuration/);
    expect(calls).toContain('podman network rm systemd-whisper-net');
    expect(existsSync(host.state)).toBe(false);
    expect(host.install('uninstall')).toMatchObject({ status: 0 });
  });

  test('a file that the generator does not understand is taken out again', () => {
    host.install();
    const before = host.tree();
    host.newVersion(ENV);
    const unit = join(host.quadlets, 'whisper-gate.container');
    writeFileSync(unit, '[Container]\nUnknown=1\nNetwork=whisper-net.network:ip=10.89.77.3\n');
    host.set('next-image', 'image2');
    const { status, stderr, calls } = host.install();
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /makes no whisper-gate\.service.*unsupported key .*\n.*as it was before/,
    );
    expect(host.tree()).toEqual(before);
    expect([host.image('latest'), jobs(calls)]).toEqual(['image1', []]);
  });

  test('an install that was cut off is taken back by the next', () => {
    host.install();
    const old = host.read(PROXY);
    mkdirSync(join(host.state, 'pending'));
    writeFileSync(join(host.state, 'pending/0'), old);
    writeFileSync(join(host.state, 'pending/files'), `0\t${join(host.units, PROXY)}\n`);
    host.write(PROXY, 'half');
    expect(host.install().stdout).toContain('cut off');
    expect(host.read(PROXY)).toBe(old);
  });

  test('a service that does not start: its log, and how to go back', () => {
    host.set('fails-whisper-gate.service', '');
    const { status, stderr } = host.install();
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /whisper-gate\.service did not start[\s\S]*the log: .*[\s\S]*install rollback/,
    );
  });

  test('a gate that does not get locked: its own log, without what podman says of each event', () => {
    host.set('unlocked', '');
    host.set('log', 'the rules: no nf_tables\ncontainer died (image=x)\nconmon 1 <ninfo>: x\n');
    const { status, stderr } = host.install();
    expect(status).toBe(1);
    expect(stderr).toMatch(/whisper-gate is not locked: its service is activating\n/);
    expect(stderr).toMatch(
      /log:\nthe log: .*--unit=whisper-gate\.service .*\nthe rules: .*\nquadl/,
    );
  });

  test('a failure that changed nothing is not one to go back from', () => {
    host.install();
    host.set('unhealthy', 'x');
    const { stderr } = host.install();
    expect(stderr).toMatch(/correct what the log names, and run this again\n$/);
    expect(stderr).not.toContain('rollback');
  });

  test('a proxy that does not get healthy: what it says, its log, and how to go back', () => {
    host.set('unhealthy', 'whisper-proxy does not answer');
    const { status, stderr } = host.install();
    expect(status).toBe(1);
    expect(stderr).toMatch(/whisper-proxy does not answer[\s\S]*the log: [\s\S]*install rollback/);
  });
});
