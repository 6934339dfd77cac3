import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { line, MAIN, PIPED, readLog, run, serve } from './helpers/denied.ts';

const ESCAPE = '\u001b';

describe('of a log', () => {
  test('a real one tells the same as the proxy itself', async () => {
    const { cli, admin, ask } = await serve({ EGRESS_ALLOW: 'x.test' });
    for (const host of ['hf.co', 'hf.co', '10.0.0.1', 'x.test']) await ask(`http://${host}/`);
    const running = run(['denied', '--json'], admin);
    await running.exit();
    cli.child.kill('SIGTERM');
    await cli.exit();
    const { status, stdout, stderr } = await readLog(cli.stdout, ['--json']);
    expect([status, stderr]).toEqual([0, '']);
    const essence = (text: string) =>
      (JSON.parse(text).groups as Record<string, unknown>[])
        .map(({ host, count, reason, remedy, error }) => ({ host, count, reason, remedy, error }))
        .sort((a, b) => String(a.host).localeCompare(String(b.host)));
    expect(essence(stdout)).toEqual(essence(running.stdout));
    expect(essence(stdout)).toHaveLength(3);
  });

  test('tells how often ingress failed', async () => {
    const failure = {
      ...{ level: 'warn', time: new Date(), event: 'ingress_failure', error: 'ECONNREFUSED' },
      ...{ reason: 'connection_refused', status: 502, client: '10.89.1.5', method: 'POST' },
    };
    const lines = [failure, { ...failure, method: null, repeated: 13 }];
    const log = lines.map((each) => `${JSON.stringify(each)}\n`).join('');
    const { stdout, stderr } = await readLog(log);
    expect(stdout).toMatch(/^nothing was denied, by 2 lines of the log/);
    expect(stdout).toMatch(/^ingress answered 502 14 times, last at \S+ to 10\.89\.1\.5: conn/m);
    expect(stderr).toBe('');
    const json = await readLog(log, ['--json']);
    expect(JSON.parse(json.stdout).failures).toMatchObject([{ count: 14 }]);
  });

  test('as journalctl shows it, with what others wrote skipped and counted', async () => {
    const { status, stdout, stderr } = await readLog(
      `-- Boot 1 --\n\nNov 24 02:47:31 host whisper-proxy[1]: ${line()}Traceback:\n{"json":"of another"}\n`,
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^denied, by 4 lines of the log/);
    expect(stdout).toMatch(/ {4}1 .* hf\.co:443 +not_allowed\n/);
    expect(stderr).toBe(
      "whisper-proxy: 3 lines that are not the proxy's own (podman's, perhaps) were left out\n",
    );
  });

  test('counts what a line stands for', async () => {
    const { stdout } = await readLog(
      line() + line({ repeated: 39 }) + line({ host: null, port: null, repeated: 1000 }),
    );
    expect(stdout).toMatch(/ {3}40 .* hf\.co:443/);
    expect(stdout).toMatch(/ 1000 .* \(many\) /);
  });

  test('of nothing says so', async () => {
    expect(await readLog('')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/standard input was empty/),
    });
    const { stdout } = await readLog(line({ decision: 'allow', reason: null, rule: 'hf.co' }));
    expect(stdout).toMatch(/^nothing was denied, by one line/);
  });

  test.each([
    ['30m', ['new.test']],
    ['3h', ['hours.test', 'new.test']],
    ['7d', ['days.test', 'hours.test', 'new.test']],
  ])('--since %s', async (since, hosts) => {
    const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000);
    const input = [
      line({ host: 'old.test' }, ago(24 * 8)),
      line({ host: 'days.test' }, ago(24 * 6)),
      line({ host: 'hours.test' }, ago(2)),
      line({ host: 'new.test' }, ago(0)),
    ].join('');
    const { stdout } = await readLog(input, ['--since', since, '--json']);
    const groups = JSON.parse(stdout).groups as { host: string }[];
    expect(groups.map(({ host }) => host).sort()).toEqual(hosts);
  });

  test('--follow shows each as it comes', async () => {
    const cli = run(['denied', '-', '--follow'], {}, PIPED);
    cli.child.stdin?.write(line({ host: 'first.test' }));
    await cli.prints('first.test');
    cli.child.stdin?.write(`nonsense\n${line({ host: 'second.test', repeated: 7 })}`);
    await cli.prints(/second\.test:443 +not_allowed {2}\(7 times\)\n/);
    cli.child.stdin?.end();
    expect(await cli.exit()).toBe(0);
    expect(cli.stderr).toMatch(/one line that is not/);
  });

  test('that is forged cannot write to the terminal', async () => {
    const evil = `${ESCAPE}]0;x\u0007${ESCAPE}[2J\n\u202e`;
    const forged = line({ host: evil, rule: evil, client: evil, address: evil, error: evil });
    for (const args of [[], ['--all'], ['--follow'], ['--json'], ['--follow', '--json']]) {
      const { status, stdout, stderr } = await readLog(`${evil}${forged}`, args);
      expect(status).toBe(0);
      expect(stdout + stderr).toMatch(/^[\n\x20-\x7e]+$/);
    }
  });

  test('of 100,000 hosts takes bounded memory, and nothing is lost', async () => {
    const child = run(
      ['denied', '-', '--json'],
      { NODE_OPTIONS: '--max-old-space-size=48' },
      PIPED,
    );
    const time = new Date();
    for (let i = 0; i < 100; i += 1) {
      const host = (j: number) => `${'h'.repeat(200)}.${i * 1000 + j}.test`;
      const lines = Array.from({ length: 1000 }, (_, j) => line({ host: host(j) }, time));
      const isReady = child.child.stdin?.write(lines.join(''));
      if (!isReady) await new Promise((resolve) => child.child.stdin?.once('drain', resolve));
    }
    child.child.stdin?.end();
    expect(await child.exit()).toBe(0);
    const { lines, groups } = JSON.parse(child.stdout) as {
      lines: number;
      groups: { count: number }[];
    };
    expect(lines).toBe(100_000);
    expect(groups.length).toBeLessThanOrEqual(1000);
    expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(100_000);
  });

  test('with a line that never ends takes bounded memory', async () => {
    const child = run(['denied', '-'], { NODE_OPTIONS: '--max-old-space-size=48' }, PIPED);
    const piece = 'x'.repeat(1_000_000);
    for (let i = 0; i < 200; i += 1) {
      const isReady = child.child.stdin?.write(piece);
      if (!isReady) await new Promise((resolve) => child.child.stdin?.once('drain', resolve));
    }
    child.child.stdin?.end(`\n${line()}`);
    expect(await child.exit()).toBe(0);
    expect(child.stdout).toContain('hf.co:443');
    expect(child.stderr).toMatch(/one line that is not/);
  });

  test('ends quietly when its reader has read enough', async () => {
    const input = Array.from({ length: 900 }, (_, i) =>
      line({ host: `${'h'.repeat(60)}.${i}.test` }),
    );
    const { status, stdout, stderr } = spawnSync(
      'bash',
      ['-c', `"${process.execPath}" "${MAIN}" denied - | head -n 1; exit "\${PIPESTATUS[0]}"`],
      { input: input.join(''), encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toHaveLength(2);
  });
});
