import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { kernelProbes } from '../src/verify/kernel-probes.ts';
import { runProbes } from '../src/verify/probe.ts';
import { TcpProber } from '../src/verify/tcp-prober.ts';
import { describeVantage } from '../src/verify/vantage.ts';

const BOUNDS = {
  atOnce: { request: 1, packet: 1, share: Number.POSITIVE_INFINITY },
  apartMs: 0,
  limitMs: 5_000,
  totalMs: 5_000,
};

function isRunning(pid: number): boolean {
  // One that has ended and that nobody has taken note of does not run either.
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** These run no probe: what takes Perl's place sends nothing. */
describe('a helper that does not run to its end', () => {
  const vantage = describeVantage('lo', { address: '127.0.0.1', netmask: '255.0.0.0' }, [], []);
  const targets = { proxy: '127.0.0.1', also: [], allowed: [] };

  async function runWith(perl: string) {
    return runProbes(kernelProbes(vantage, targets, { perl, limitMs: 1_000 }), BOUNDS);
  }

  const folders: string[] = [];

  function script(text: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
    folders.push(folder);
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'perl');
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  test('none at all: every probe of it is unknown', async () => {
    const results = await runWith('/nonexistent/perl');
    expect(results.length).toBeGreaterThan(40);
    expect(new Set(results.map(({ state }) => state))).toEqual(new Set(['unknown']));
    expect(results[0]?.detail).toMatch(/^the Perl helper did not get to its end: .*ENOENT/);
  });

  test.each([
    ['none at all', () => '/nonexistent/perl', /the Perl helper did not try it: .*ENOENT/],
    [
      'one that dies',
      () => script('echo no JSON; echo out of memory >&2; exit 9'),
      /status 9 out of/,
    ],
    [
      'one that says what nobody knows',
      () => script('echo \'{"id":1,"fate":"EWHAT"}\'; cat'),
      /EWHAT/,
    ],
    [
      'one that cannot tell',
      () => script('echo \'{"id":1,"fate":""}\'; cat'),
      /does not tell whether/,
    ],
  ])('%s: a connection is unknown, and not closed', async (_, perl, detail) => {
    const outcome = await new TcpProber(perl()).connect('127.0.0.1', 9);
    expect(outcome).toEqual({ state: 'unknown', detail: expect.stringMatching(detail) });
  });

  test('one that dies: what it found open counts, what it found closed does not', async () => {
    const results = await runWith(
      script(`
        echo '{"id":"mptcp","what":"","state":"open","detail":"connected"}'
        echo '{"id":"sctp","what":"","state":"closed","detail":"EPERM"}'
        echo 'no JSON'
        echo 'out of memory' >&2
        exit 9`),
    );
    const states = new Map(results.map(({ name, state }) => [name, state]));
    expect(states.get('MPTCP')).toBe('open');
    expect(states.get('SCTP')).toBe('unknown');
    expect(results.find(({ name }) => name === 'SCTP')?.detail).toContain(
      'exit status 9 out of memory',
    );
  });

  test('one that forgets a probe: it is unknown', async () => {
    const results = await runWith(
      script(`
        echo '{"id":"sctp","what":"","state":"closed","detail":"EPERM"}'
        echo '{"id":"done"}'`),
    );
    const wrong = results.filter(({ state }) => state !== 'unknown');
    expect(wrong.map(({ name }) => name)).toEqual(['SCTP']);
  });

  test('one that hangs, and its probes with it: what it found open counts', async () => {
    const results = await runWith(
      script(`
        echo '{"id":"mptcp","what":"","state":"open","detail":"connected"}'
        sleep 1234 &
        echo $! >"\${0%/*}/sleeper"
        wait`),
    );
    const states = new Map(results.map(({ name, state }) => [name, state]));
    expect(states.get('MPTCP')).toBe('open');
    expect(results.find(({ name }) => name === 'SCTP')).toMatchObject({
      state: 'unknown',
      detail: expect.stringContaining('nothing more within 1 s'),
    });
    const sleeper = Number(readFileSync(join(folders.at(-1) ?? '', 'sleeper'), 'utf8'));
    await expect.poll(() => isRunning(sleeper)).toBe(false);
  });

  test('nothing is excused for not being tried but the port of a whisper that listens', async () => {
    const results = await runWith(
      script(`
        echo '{"id":"source-port","what":"","state":"untried","detail":"it listens"}'
        echo '{"id":"sctp","what":"","state":"untried","detail":"somehow"}'
        echo '{"id":"done"}'`),
    );
    const states = new Map(results.map(({ name, state }) => [name, state]));
    expect(states.get("TCP to the proxy from whisper's own port 7860")).toBe('untried');
    expect(states.get('SCTP')).toBe('unknown');
  });
});
