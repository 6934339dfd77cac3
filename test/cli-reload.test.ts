import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';
import { startTarget } from './helpers/origin.ts';
import { soon } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel } from './helpers/raw-client.ts';
import { isMissing } from './helpers/tools.ts';

// Each starts several programs, and the machine may be busy.
vi.setConfig({ testTimeout: 120_000 });

const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
const started: Cli[] = [];
let count = 0;

afterEach(() => Promise.all(started.splice(0).map((cli) => cli.kill())));
afterAll(() => rmSync(folder, { recursive: true }));

function run(args: string[], env: Record<string, string>): Cli {
  const cli = new Cli(args, env);
  started.push(cli);
  return cli;
}

/** Runs a command to its end. */
async function output(args: string[], env: Record<string, string>) {
  const cli = run(args, env);
  const status = await cli.exit();
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}

/** A running proxy with a configuration file of its own. */
async function start(text: string) {
  count += 1;
  const file = join(folder, `${count}.env`);
  const socket = join(folder, `${count}.sock`);
  writeFileSync(file, text);
  const cli = run([], {
    ...{ ...LOOPBACK, UPSTREAM: 'embedded', CONFIG_FILE: file, CONTROL_SOCKET: socket },
  });
  const { egress, admin } = await cli.addresses();
  const port = Number(egress.split(':')[1]);
  const reloads = () => cli.lines.filter(({ event }) => event === 'reload');
  /** As many editors do: a new file takes the old one's place. */
  const reload = async (changed: string) => {
    const before = reloads().length;
    writeFileSync(`${file}.new`, changed);
    renameSync(`${file}.new`, file);
    cli.child.kill('SIGHUP');
    await soon(() => expect(reloads().length).toBe(before + 1));
  };
  const status = async (target: string) => (await ask(port, connectTo(target))).status;
  const health = async () => (await output(['health'], { ADMIN_LISTEN: admin })).stdout;
  return { cli, file, socket, port, reload, reloads, status, health };
}

describe('a start with faults that a reload can mend', () => {
  const FAULTY = 'EGRESS_ALLOW=*.com\nEGRES_MODE=report\n';

  test('serves ingress and denies everything, and says why, until they are mended', async () => {
    const target = await startTarget();
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start(`EGRESS_ALLOW_OK=${address}\n${FAULTY}`);
    const { ingress, admin } = await proxy.cli.addresses();
    const scrape = async () => (await fetch(`http://${admin}/metrics`)).text();
    const env = { CONTROL_SOCKET: proxy.socket };
    expect((await fetch(`http://${ingress}/`)).status).toBe(200);
    const denied = await ask(proxy.port, connectTo(address));
    expect(denied.status).toBe(403);
    expect(denied.body).toMatch(/configuration of whisper-proxy is invalid/);
    expect(denied.body).not.toContain('EGRESS_ALLOW');
    expect(proxy.cli.lines).toContainEqual(
      expect.objectContaining({
        ...{ level: 'error', event: 'invalid_config', config_file: proxy.file },
        faults: [expect.stringContaining('line 2'), expect.stringContaining('line 3')],
      }),
    );
    expect(await output(['health'], env)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(
        /^warning: the configuration is invalid, .*\n {2}.*line 2: .*\n {2}.*line 3: .*\nok: /,
      ),
    });
    expect(await (await fetch(`http://${admin}/healthz`)).json()).toMatchObject({
      config: { denies_all: true, faults: [{}, {}] },
      warnings: [expect.stringContaining('invalid')],
    });
    const report = await output(['denied'], env);
    expect(report.stdout).toMatch(/^the configuration is invalid, so egress denies everything/);
    expect(report.stdout).not.toContain('to allow it');
    expect(await scrape()).toMatch(/^whisper_proxy_config_denies_all 1$/m);
    expect(await scrape()).toMatch(/^whisper_proxy_config_last_reload_successful 0$/m);
    const allowed = await output(['allow', address, '--for', '1m'], env);
    expect(allowed).toMatchObject({ status: 1, stderr: expect.stringContaining('invalid') });

    await proxy.reload(FAULTY);
    expect(await proxy.status(address)).toBe(403);
    await proxy.reload(`EGRESS_ALLOW_OK=${address}\n`);
    expect(await proxy.status(address)).toBe(200);
    expect(await proxy.health()).toMatch(/^ok: /);
    expect((await output(['denied'], env)).stdout).not.toContain('invalid');
    expect(await scrape()).toMatch(/^whisper_proxy_config_denies_all 0$/m);
    expect(await scrape()).toMatch(/^whisper_proxy_config_last_reload_successful 1$/m);
  });

  test('a file that vanishes then is no order to run without one', async () => {
    const proxy = await start(FAULTY);
    rmSync(proxy.file);
    proxy.cli.child.kill('SIGHUP');
    await soon(() => expect(proxy.reloads()).toMatchObject([{ level: 'error' }]));
    expect(await proxy.health()).toMatch(/^warning: the configuration is invalid/);
  });

  test('who may use egress must not be missing once there are rules: that takes a restart', async () => {
    const proxy = await start(`EGRESS_CLIENTS = 10.89.77.3\n`);
    await proxy.reload('EGRESS_CLIENTS=10.89.77.3\nEGRESS_ALLOW=127.0.0.1:9\n');
    expect(proxy.reloads()[0]).toMatchObject({
      level: 'error',
      faults: [expect.stringMatching(/^EGRESS_CLIENTS=.*restart/)],
    });
    expect(await proxy.status('127.0.0.1:9')).toBe(403);
    await proxy.reload('EGRESS_ALLOW=127.0.0.1:9\nEGRESS_IDLE_TIMEOUT=1m\n');
    expect(await proxy.status('127.0.0.1:9')).toBe(502);
  });
});

describe('SIGHUP', () => {
  test('puts the file into force, as editors leave it, and ends nothing', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start(`EGRESS_ALLOW=${address}\n`);
    const tunnel = await openTunnel(proxy.port, address);
    await proxy.reload('# nothing is allowed any more\n');
    expect(await proxy.status(address)).toBe(403);
    await tunnel.send('still there').until('still there');
    await proxy.reload(`EGRESS_ALLOW_AGAIN=${address}\n`);
    expect(await proxy.status(address)).toBe(200);
    expect(proxy.reloads()).toMatchObject([
      { removed: [`allow ${address}`], added: [], open_denied_now: 1 },
      { added: [`allow AGAIN ${address}`], removed: [], config_file: proxy.file },
    ]);
  });

  test('with a faulty file changes nothing, and health tells the faults until it is mended', async () => {
    const target = await startTarget();
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start(`EGRESS_ALLOW=${address}\n`);
    const before = (await proxy.health()).split('configuration ')[1]?.slice(0, 8);
    await proxy.reload(`EGRESS_ALLOW=\nEGRESS_MODE=reprt\nEGRESS_ALOW=${address}\n`);
    expect(await proxy.status(address)).toBe(200);
    expect(proxy.reloads()).toMatchObject([
      {
        level: 'error',
        config: before,
        faults: [expect.stringContaining('line 2'), expect.stringContaining('line 3')],
      },
    ]);
    const health = await proxy.health();
    expect(health).toContain(`configuration ${before}`);
    expect(health).toMatch(/warning: .* stays in force:\n {2}.*line 2: EGRESS_MODE="reprt"/);
    await proxy.reload('');
    expect(await proxy.status(address)).toBe(403);
    expect(await proxy.health()).not.toContain('stays in force');
  });

  test('a faulty ADMIN_TOKEN, or another ADMIN_LISTEN, does not blind health', async () => {
    const proxy = await start('');
    const env = { CONTROL_SOCKET: proxy.socket, CONFIG_FILE: proxy.file };
    await proxy.reload('ADMIN_TOKEN=no spaces\n');
    const faulty = await output(['health'], env);
    expect(faulty).toMatchObject({ status: 0, stdout: expect.stringContaining('ADMIN_TOKEN') });
    await proxy.reload('ADMIN_LISTEN=127.0.0.1:1\n');
    expect((await output(['health'], env)).status).toBe(0);
    expect((await output(['denied'], env)).status).toBe(0);
  });

  test.skipIf(isMissing('mkfifo'))(
    'with a pipe or a huge file in its place changes nothing, and goes on',
    async () => {
      const proxy = await start('EGRESS_ALLOW=127.0.0.1:9\n');
      rmSync(proxy.file);
      spawnSync('mkfifo', [proxy.file]);
      proxy.cli.child.kill('SIGHUP');
      await soon(() => expect(proxy.reloads()).toHaveLength(1));
      rmSync(proxy.file);
      await proxy.reload('x\n'.repeat(600_000));
      await proxy.reload('x\n'.repeat(1_000));
      const [pipe, huge, wrong] = proxy.reloads().map(({ faults }) => faults as string[]);
      expect(pipe?.[0]).toContain('no regular file');
      expect(huge?.[0]).toContain('1 MiB');
      expect(wrong).toHaveLength(51);
      expect(wrong?.at(-1)).toBe('and 950 more');
      expect(await proxy.status('127.0.0.1:9')).toBe(502);
    },
  );

  test('with a file that has gone changes nothing', async () => {
    const proxy = await start('EGRESS_ALLOW=127.0.0.1:9\n');
    rmSync(proxy.file);
    proxy.cli.child.kill('SIGHUP');
    await soon(() => expect(proxy.reloads()).toMatchObject([{ level: 'error' }]));
    expect(await proxy.status('127.0.0.1:9')).toBe(502);
  });
});

describe('whisper-proxy reload', () => {
  const asked = (proxy: { socket: string }) => output(['reload'], { CONTROL_SOCKET: proxy.socket });

  test('answers with what the running proxy did: the hash in force, and what has changed', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start(`EGRESS_ALLOW=${address}\n`);
    const before = String(proxy.cli.lines[0]?.config);
    await openTunnel(proxy.port, address);
    writeFileSync(
      proxy.file,
      'EGRESS_ALLOW_NEW=hf.co\nEGRESS_DENY=x.hf.co\nEGRESS_IDLE_TIMEOUT=1m\n',
    );
    const { status, stdout, stderr } = await asked(proxy);
    const now = String(proxy.reloads()[0]?.config);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      `configuration ${now} is in force, instead of ${before}: ${proxy.file}, mode enforce`,
      'added: allow NEW hf.co',
      'added: deny x.hf.co',
      `removed: allow ${address}`,
      'takes effect at the next start: EGRESS_IDLE_TIMEOUT',
      'open connections that the rules deny now: 1, they stay open (EGRESS_ON_RELOAD=keep)',
      '',
    ]);
    expect((await asked(proxy)).stdout).toMatch(`configuration ${now} is in force, as before`);
  });

  test.each([
    [
      'has a fault',
      (file: string) => writeFileSync(file, 'EGRESS_ALOW=x\n'),
      /line 1: EGRESS_ALOW/,
    ],
    ['is removed', (file: string) => rmSync(file), /there is no such file/],
    ['is a folder by now', (file: string) => [rmSync(file), mkdirSync(file)], /it is a folder/],
    ['is huge', (file: string) => writeFileSync(file, '#'.repeat(2 ** 20 + 1)), /1 MiB/],
  ])('whose file %s: every fault, 78, and nothing has changed', async (_what, spoil, fault) => {
    const proxy = await start('EGRESS_ALLOW=127.0.0.1:9\n');
    spoil(proxy.file);
    const { status, stdout, stderr } = await asked(proxy);
    expect({ status, stdout }).toEqual({ status: 78, stdout: '' });
    expect(stderr).toMatch(fault);
    expect(stderr).toContain(`configuration ${proxy.cli.lines[0]?.config} stays in force`);
    expect(await proxy.status('127.0.0.1:9')).toBe(502);
  });

  test('says so where egress goes on denying everything', async () => {
    const proxy = await start('EGRESS_ALOW=x\n');
    expect(await asked(proxy)).toMatchObject({
      status: 78,
      stderr: expect.stringMatching(
        /still invalid, so egress goes on denying everything:\n {2}.*ALOW/,
      ),
    });
  });

  test('several at once are done one after the other', async () => {
    const proxy = await start('EGRESS_ALLOW=127.0.0.1:9\n');
    writeFileSync(proxy.file, 'EGRESS_ALLOW_NEW=hf.co\n');
    const answers = await Promise.all([asked(proxy), asked(proxy), asked(proxy)]);
    expect(answers.map(({ status }) => status)).toEqual([0, 0, 0]);
    expect(answers.filter(({ stdout }) => stdout.includes('as before'))).toHaveLength(2);
    expect(proxy.reloads()).toHaveLength(3);
  });

  test('while it stops, nothing is reloaded', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start(`EGRESS_ALLOW=${address}\n`);
    await openTunnel(proxy.port, address);
    proxy.cli.child.kill('SIGTERM');
    await soon(() => expect(existsSync(proxy.socket)).toBe(false));
    expect((await asked(proxy)).status).toBe(1);
    proxy.cli.child.kill('SIGHUP');
    await proxy.cli.prints('it is stopping, so the configuration is not read again');
    expect(proxy.reloads()).toEqual([]);
  });

  test('where no proxy can be asked, one sentence and 1', async () => {
    const nowhere = { CONTROL_SOCKET: join(folder, 'none.sock') };
    expect(await output(['reload'], nowhere)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^whisper-proxy: no proxy takes commands at .*none\.sock.*\n$/),
    });
    expect((await output(['reload', 'x'], nowhere)).status).toBe(2);
  });
});

test('a SIGHUP that comes while it starts is done once it listens', async () => {
  const file = join(folder, 'early.env');
  writeFileSync(file, 'EGRESS_ALLOW=old.example\n');
  // What an operator might do just after the file was read: edit it, and reload.
  const preload = join(folder, 'early.mjs');
  writeFileSync(
    preload,
    `import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const { closeSync, openSync } = fs;
    let config;
    fs.openSync = (path, ...rest) => {
      const descriptor = openSync(path, ...rest);
      if (path === process.env.CONFIG_FILE) config ??= descriptor;
      return descriptor;
    };
    fs.closeSync = (descriptor) => {
      closeSync(descriptor);
      if (descriptor !== config) return;
      config = -1;
      fs.writeFileSync(process.env.CONFIG_FILE, 'EGRESS_ALLOW=new.example\\n');
      process.kill(process.pid, 'SIGHUP');
    };
    syncBuiltinESMExports();`,
  );
  const cli = run([], {
    ...{ ...LOOPBACK, UPSTREAM: 'embedded', CONFIG_FILE: file },
    NODE_OPTIONS: `--import=${preload}`,
  });
  await cli.prints('"event":"reload"');
  const [listening, reload] = cli.lines.filter(({ config }) => config !== undefined);
  expect(listening).toMatchObject({ msg: 'listening', allow: ['old.example'] });
  expect(reload).toMatchObject({ added: ['allow new.example'], removed: ['allow old.example'] });
});

describe('allow', () => {
  test('opens a host for a time, which log and health tell, until it is ended', async () => {
    const target = await startTarget();
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start('');
    expect(await proxy.status(address)).toBe(403);
    const env = { CONTROL_SOCKET: proxy.socket };
    // Past midnight, with the day.
    const time = /^allowed until (?:\w{3} +\d+ )?\d\d:\d\d:\d\d: /;
    const allowed = await output(['allow', address, '*.hf.co', '--for', '30m'], env);
    expect(allowed).toMatchObject({ status: 0, stderr: '' });
    expect(allowed.stdout.split('\n').map((line) => line.replace(time, ''))).toEqual([
      `${address}, uploads without a limit (--max-upload 256KiB sets one)`,
      '*.hf.co, uploads without a limit (--max-upload 256KiB sets one)',
      '',
    ]);
    const limit = ['--max-upload', '256KiB'];
    const partly = await output(['allow', '127.0.0.2:1', 'a.hf.co', '--for', '9m', ...limit], env);
    expect(partly.stdout).toMatch(/^allowed until .*: 127\.0\.0\.2:1, uploads of at most 256KiB a/);
    expect((await output(['allow', '--list'], env)).stdout.match(/^allowed until /gm)).toHaveLength(
      4,
    );
    const ended = await output(['allow', '--end', '127.0.0.2:1', 'a.hf.co'], env);
    expect(ended).toEqual({
      ...{ status: 0, stderr: '' },
      stdout: 'no longer allowed: 127.0.0.2:1 a.hf.co\n',
    });
    expect(await proxy.status(address)).toBe(200);
    expect(await proxy.health()).toMatch(/\nallowed until .*: timed \*\.hf\.co\n/);
    expect(proxy.cli.lines).toContainEqual(
      expect.objectContaining({ event: 'timed_allow', rules: [address, '*.hf.co'] }),
    );
    expect(proxy.cli.lines).toContainEqual(
      expect.objectContaining({ decision: 'allow', rule: `timed ${address}` }),
    );
    await proxy.reload(`EGRESS_ALLOW=other.example\nEGRESS_DENY=${address}\n`);
    const denied = await output(['allow', address, '--for', '1m'], env);
    expect(denied).toEqual({
      ...{ status: 1, stdout: '' },
      stderr: `whisper-proxy: ${address} stays denied: the deny rule "${address}" wins over it\n`,
    });
  });

  test('ends with the time', async () => {
    const target = await startTarget();
    const address = `127.0.0.1:${target.port}`;
    const proxy = await start('');
    await output(['allow', address, '--for', '10ms'], { CONTROL_SOCKET: proxy.socket });
    await proxy.cli.prints('"event":"timed_allow"');
    await proxy.cli.prints('"event":"timed_allow_end"');
    expect(await proxy.status(address)).toBe(403);
  });

  test.each([
    [['*', '--for', '30m'], 2, /every host/],
    [['*.com', '--for', '30m'], 2, /public suffix/],
    [['hf.co', '--for', '30'], 2, /30m|5m/],
    [['hf.co', '--for', '25h'], 2, /at most 24h/],
    [['hf.co'], 2, /--for/],
    [['--for', '30m'], 2, /rule/],
    [['hf.co', '--for', '30m', '--max-upload', '256'], 2, /256KiB/],
    [['hf.co', '--for', '30m', '--group', 'X'], 1, /EGRESS_MAX_UPLOAD_X/],
    [['--list', 'hf.co'], 2, /takes no rule/],
    [['--list', '--end'], 2, /stand alone/],
    [['--end', 'hf.co', '--for', '30m'], 2, /stand alone/],
    [['--end', 'hf.co'], 1, /hf\.co: not allowed for a time; nothing is/],
  ])('%j is refused with one clear sentence', async (args, status, sentence) => {
    const proxy = await start('');
    const result = await output(['allow', ...args], { CONTROL_SOCKET: proxy.socket });
    expect(result).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(sentence) });
  });

  test('says where no proxy listens', async () => {
    const nowhere = { CONTROL_SOCKET: join(folder, 'none.sock') };
    const result = await output(['allow', 'hf.co', '--for', '30m'], nowhere);
    expect(result).toMatchObject({ status: 1, stderr: expect.stringContaining('none.sock') });
    const unset = await output(['allow', 'hf.co', '--for', '30m'], {});
    expect(unset).toMatchObject({ status: 1, stderr: expect.stringContaining('CONTROL_SOCKET') });
  });

  test('is not taken by the admin listener', async () => {
    const { cli } = await start('');
    const { admin } = await cli.addresses();
    const answer = await fetch(`http://${admin}/allow`, { method: 'POST', body: '{}' });
    expect(answer.status).toBe(405);
  });
});
