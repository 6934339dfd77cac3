import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import { run, serve } from './helpers/denied.ts';
import { freePort } from './helpers/free-port.ts';
import { soon } from './helpers/proxy.ts';

describe('of the running proxy', () => {
  test('tells what was denied, and the line that allows it after a copy', async () => {
    const { admin, ask } = await serve({
      EGRESS_ALLOW: 'other.test',
      EGRESS_DENY_BAD: 'evil.test',
    });
    for (const host of ['hf.co', 'hf.co', 'evil.test', 'api.gradio.app'])
      await ask(`http://${host}/`);
    const denied = run(['denied'], admin);
    expect(await denied.exit()).toBe(0);
    expect(denied.stderr).toBe('');
    expect(denied.stdout).toMatch(/^denied since \d\d:\d\d:\d\d \S+ \(the proxy's start\)/);
    expect(denied.stdout).toMatch(/^ {4}2 {2}.* {2}hf\.co:80 +not_allowed$/m);
    expect(denied.stdout).toMatch(/take evil\.test out of EGRESS_DENY_BAD$/m);
    expect(denied.stdout).toMatch(
      /^noise: api\.gradio\.app:80 \(once\): .*GRADIO_ANALYTICS_ENABLED/m,
    );
    const [, name = '', value = ''] = /to allow it: (\w+)=(\S+)/.exec(denied.stdout) ?? [];
    expect(value).toBe('hf.co:80');

    const after = await serve({ EGRESS_ALLOW: 'other.test', [name]: value });
    await after.ask('http://hf.co/');
    const all = run(['denied', '--all', '--json'], after.admin);
    expect(await all.exit()).toBe(0);
    expect(JSON.parse(all.stdout).rules[1]).toMatchObject({
      label: expect.stringMatching(/ hf\.co:80$/),
      used: 1,
    });
  });

  test('says that nothing was, and since when', async () => {
    const { admin } = await serve();
    const denied = run(['denied'], admin);
    expect(await denied.exit()).toBe(0);
    expect(denied.stdout).toMatch(
      /^nothing was denied since \d\d:\d\d:\d\d \S+ \(the proxy's start\)\n$/,
    );
  });

  test('tells that whisper is down, and how often ingress answered 502', async () => {
    const upstream = `http://127.0.0.1:${await freePort()}`;
    const { admin, ingress } = await serve({ UPSTREAM: upstream });
    const post = () => request(`http://${ingress}/`, { method: 'POST' });
    const nothing = run(['denied'], admin);
    await nothing.exit();
    expect(nothing.stdout).toContain(`\n\nwhisper at ${upstream} is down now (ECONNREFUSED)\n`);
    for (let times = 0; times < 3; times += 1) await (await post()).body.dump();
    for (const args of [['denied'], ['denied', '--all'], ['denied', '--since', '1h']]) {
      const denied = run(args, admin);
      expect(await denied.exit()).toBe(0);
      expect(denied.stdout).toMatch(/^nothing was (denied|decided) /);
      expect(denied.stdout).toMatch(
        /^ingress answered 502 3 times, last at [\d:]{8} to 127\.0\.0\.1: connection_refused \(ECONNREFUSED\): whisper did not listen; /m,
      );
      expect(denied.stdout).toContain('is down now (ECONNREFUSED)');
    }
    const json = run(['denied', '--json'], admin);
    await json.exit();
    expect(JSON.parse(json.stdout).failures).toMatchObject([
      { reason: 'connection_refused', status: 502, count: 3, client: '127.0.0.1' },
    ]);
  });

  test('--follow shows a failure of whisper as it happens', async () => {
    const { admin, ingress } = await serve({
      UPSTREAM: `http://127.0.0.1:${await freePort()}`,
    });
    const denied = run(['denied', '--follow'], admin);
    await denied.prints('nothing was denied');
    await (await request(`http://${ingress}/`)).body.dump();
    await denied.prints(/failed {6}502 to 127\.0\.0\.1 \(ingress\) +connection_refused \(ECONN/);
  });

  test('leaves out what was allowed, but with --all', async () => {
    const { admin, ask } = await serve({ EGRESS_MODE: 'report', EGRESS_ALLOW_X: '127.0.0.1:9' });
    await ask('http://127.0.0.1:9/');
    const groups = async (...args: string[]) => {
      const cli = run(['denied', '--json', ...args], admin);
      expect(await cli.exit()).toBe(0);
      return JSON.parse(cli.stdout).groups as { decision: string; reason: string }[];
    };
    expect(await groups()).toMatchObject([{ decision: 'deny', reason: 'connect_failed' }]);
    const { body } = await request(`http://${admin.ADMIN_LISTEN}/decisions`);
    expect(await groups('--all')).toEqual(((await body.json()) as { groups: unknown }).groups);
  });

  test('tells local time, as TZ or the system has it', async () => {
    const { admin, ask } = await serve();
    await ask('http://hf.co/');
    const hour = async (TZ: string) => {
      const cli = run(['denied'], { ...admin, TZ });
      await cli.exit();
      return Number(/since (\d\d):/.exec(cli.stdout)?.[1]);
    };
    expect((await hour('Asia/Tokyo')) - (await hour('UTC'))).toSatisfy((difference: number) =>
      [9, 9 - 24].includes(difference),
    );
  });

  test('needs its token, and says which variable has it', async () => {
    const { admin } = await serve({ ADMIN_TOKEN: 'abc' });
    const without = run(['denied'], admin);
    expect(await without.exit()).toBe(1);
    expect(without.stderr).toMatch(/set ADMIN_TOKEN/);
    expect(await run(['denied'], { ...admin, ADMIN_TOKEN: 'abc' }).exit()).toBe(0);
  });

  test.each([[[]], [['--follow']], [['--json']]])(
    'says in a line what to do where none runs %j',
    async (args) => {
      const cli = run(['denied', ...args], { ADMIN_LISTEN: '127.0.0.1:9' });
      expect(await cli.exit()).toBe(1);
      expect(cli.stdout).toBe('');
      expect(cli.stderr).toMatch(
        /^whisper-proxy: no decisions from 127\.0\.0\.1:9 \(ADMIN_LISTEN\): .*ECONNREFUSED.*denied -\n$/,
      );
    },
  );

  test('--follow goes on with what is denied from now on, until the proxy ends', async () => {
    const { cli, admin, ask } = await serve({ EGRESS_ALLOW: '127.0.0.1:9' });
    await ask('http://before.test/');
    const follow = run(['denied', '--follow'], admin);
    await follow.prints(/before\.test:80 +not_allowed\n/);
    await follow.prints('whisper-proxy reload');
    await ask('http://after.test/');
    await follow.prints(
      /deny +after\.test:80 +not_allowed\n +to allow it: EGRESS_ALLOW_AFTER_TEST_80=after\.test:80\n/,
    );
    await ask('http://after.test/');
    await follow.prints(/(after\.test:80 +not_allowed[\s\S]*){2}/);
    expect(follow.stdout.match(/to allow it: EGRESS_ALLOW_AFTER/g)).toHaveLength(1);
    cli.child.kill('SIGTERM');
    expect(await follow.exit()).toBe(1);
    expect(follow.stderr).toMatch(/it has ended/);
  });

  test('--follow --json gives a line for each', async () => {
    const { admin, ask } = await serve();
    await ask('http://before.test/');
    const follow = run(['denied', '--follow', '--json'], admin);
    await soon(async () => {
      await ask('http://after.test/');
      expect(follow.lines.length).toBeGreaterThan(0);
    });
    expect(follow.lines[0]).toMatchObject({
      event: 'egress',
      decision: 'deny',
      host: 'after.test',
    });
    expect(follow.stdout).not.toContain('before.test');
  });
});

describe('usage', () => {
  test.each([
    [['-', '--since', 'yesterday'], /30m, 1h or 7d/],
    [['-', '--since', '0d'], /30m, 1h or 7d/],
    [['journal.log'], /must be -/],
    [['-', '-'], /too many arguments/],
    [['--wrong'], /unknown option/],
  ])('%j is wrong', async (args, message) => {
    const cli = run(['denied', ...args]);
    expect(await cli.exit()).toBe(2);
    expect(cli.stderr).toMatch(message);
    expect(cli.stdout).toBe('');
  });

  test('--help tells of the journal', async () => {
    const cli = run(['denied', '--help']);
    expect(await cli.exit()).toBe(0);
    expect(cli.stdout).toMatch(/journalctl --user -u whisper-proxy -o cat \| .*denied -/);
  });
});
