import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { afterEach, describe, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';

const NOBODY = 65_534;
const SERVE = { ...LOOPBACK, UPSTREAM: 'embedded' };
const started: Cli[] = [];
const servers: Server[] = [];

function run(args: string[], env: Record<string, string>, options = {}): Cli {
  const cli = new Cli(args, env, options);
  started.push(cli);
  return cli;
}

/** Asks a forward proxy for a URI. @returns the status. */
function ask(egress: string, uri: string): Promise<number | undefined> {
  const [host, port] = egress.split(':');
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host, port, path: uri, headers: { host: 'x' }, agent: false });
    outgoing.once('error', reject).once('response', ({ statusCode }) => resolve(statusCode));
    outgoing.end();
  });
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((cli) => cli.kill()));
  for (const server of servers.splice(0)) server.close();
});

describe('the start', () => {
  test('a line says where it listens and under which rules', async () => {
    const cli = run([], { ...SERVE, EGRESS_ALLOW_MODELS: 'hf.co *.hf.co', EGRESS_DENY: 'x.hf.co' });
    await cli.addresses();
    expect(cli.lines[0]).toMatchObject({
      level: 'info',
      msg: 'listening',
      mode: 'enforce',
      allow: ['MODELS hf.co', 'MODELS *.hf.co'],
      deny: ['x.hf.co'],
      config_file: null,
    });
    expect(cli.lines[0]?.ingress).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test('a faulty configuration ends it with 78, every fault told and nothing listening', async () => {
    const env = { ...SERVE, EGRESS_ALLOW: '*', EGRESS_IDLE_TIMEOUT: '5', EGRESS_ALOW: 'x' };
    const cli = run([], env);
    expect(await cli.exit()).toBe(78);
    for (const part of ['3 faults', 'EGRESS_ALLOW="*"', 'EGRESS_IDLE_TIMEOUT="5"', 'EGRESS_ALOW']) {
      expect(cli.stderr).toContain(part);
    }
    expect(cli.stdout).toBe('');
  });

  test('a file that may not be read says which chmod helps, and it runs on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
    const path = join(folder, 'whisper-proxy.env');
    writeFileSync(path, '');
    chmodSync(folder, 0o755);
    chmodSync(path, 0o000);
    const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const cli = run([], { ...SERVE, CONFIG_FILE: path }, asNobody);
    const { egress } = await cli.addresses();
    expect(cli.stdout).toMatch(/chmod 644/);
    expect(await ask(egress, 'http://hf.co/')).toBe(403);
    rmSync(folder, { recursive: true });
  });

  test.each(['INGRESS_LISTEN', 'EGRESS_LISTEN', 'ADMIN_LISTEN'])(
    'a busy port is named with %s, and nothing is left open',
    async (variable) => {
      const busy = createServer();
      servers.push(busy);
      await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
      const { port } = busy.address() as { port: number };
      const cli = run([], { ...SERVE, [variable]: `127.0.0.1:${port}` });
      expect(await cli.exit()).toBe(1);
      expect(cli.stderr).toContain(`${variable}=127.0.0.1:${port}: something else listens there`);
    },
  );

  test('all busy ports are named at once', async () => {
    const ports = [];
    for (const busy of [createServer(), createServer()]) {
      servers.push(busy);
      await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
      ports.push((busy.address() as { port: number }).port);
    }
    const listens = ports.map((port) => `127.0.0.1:${port}`);
    const [INGRESS_LISTEN = '', ADMIN_LISTEN = ''] = listens;
    const cli = run([], { ...SERVE, INGRESS_LISTEN, ADMIN_LISTEN });
    expect(await cli.exit()).toBe(1);
    expect(cli.stderr).toMatch(/^whisper-proxy: 2 listeners cannot listen/);
    expect(cli.stderr).toMatch(/ INGRESS_LISTEN=.* something else listens there/);
    expect(cli.stderr).toMatch(/ ADMIN_LISTEN=.* something else listens there/);
    expect(cli.stdout).toBe('');
  });

  test('report mode warns at the start and in health', async () => {
    const cli = run([], { ...SERVE, EGRESS_MODE: 'report' });
    const { admin } = await cli.addresses();
    expect(cli.stdout).toContain('EGRESS_MODE=report');
    const health = run(['health'], { ADMIN_LISTEN: admin });
    expect(await health.exit()).toBe(0);
    expect(health.stdout).toMatch(/warning: EGRESS_MODE=report/);
  });
});

test.skipIf(!existsSync('/dev/full'))('a log that cannot be written ends it', async () => {
  const full = openSync('/dev/full', 'w');
  const cli = run([], SERVE, { stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
  expect(await cli.exit()).toBe(1);
  expect(cli.stderr).toMatch(/the log cannot be written \(ENOSPC.*\), so it ends\n$/);
});

test.each([
  ['JSON', []],
  ['rows', ['serve', '--local']],
])('without a log nothing is decided: it ends before the answer leaves (%s)', async (_, args) => {
  const cli = run(args, { ...SERVE, UPSTREAM: 'http://127.0.0.1:9' });
  await cli.prints('listening');
  const [, egress = ''] = /"egress":"([^"]*)"/.exec(cli.stdout) ?? [];
  cli.child.stdout?.destroy();
  const answer = ask(egress, 'http://hf.co/').catch((error: Error) => error.message);
  expect(await cli.exit()).toBe(1);
  expect(await answer).toMatch(/ECONNRESET|socket hang up/);
  expect(cli.stderr).toMatch(/the log cannot be written/);
});

describe('health', () => {
  test('is well while whisper is not there', async () => {
    const cli = run([], { ...LOOPBACK, UPSTREAM: 'http://127.0.0.1:9' });
    const { admin } = await cli.addresses();
    const health = run(['health'], { ADMIN_LISTEN: admin });
    expect(await health.exit()).toBe(0);
    expect(health.stdout).toMatch(
      /^ok: version \d\S*; ingress .*whisper at http:\/\/127\.0\.0\.1:9 is down \(ECONNREFUSED\)\nwarning: no gate [^\n]*\n$/,
    );
    const { body } = await request(`http://${admin}/healthz`);
    expect(await body.json()).toMatchObject({ status: 'ok', upstream: { state: 'down' } });
  });

  test('is not, where nothing runs', async () => {
    const health = run(['health'], { ADMIN_LISTEN: '127.0.0.1:9' });
    expect(await health.exit()).toBe(1);
    expect(health.stderr).toMatch(/no health from 127\.0\.0\.1:9/);
  });

  test('needs the token, where there is one', async () => {
    const cli = run([], { ...SERVE, ADMIN_LISTEN: '0.0.0.0:0', ADMIN_TOKEN: '0123456789abcdef' });
    const { admin } = await cli.addresses();
    const url = `http://127.0.0.1:${admin.split(':')[1]}/healthz`;
    expect((await request(url)).statusCode).toBe(401);
    expect((await request(url, { headers: { authorization: 'Bearer abd' } })).statusCode).toBe(401);
    expect(
      (await request(url, { headers: { authorization: 'Bearer 0123456789abcdef' } })).statusCode,
    ).toBe(200);
    const health = run(['health'], { ADMIN_LISTEN: admin, ADMIN_TOKEN: '0123456789abcdef' });
    expect(await health.exit()).toBe(0);
    const without = run(['health'], {
      ADMIN_LISTEN: '127.0.0.1:1',
      ADMIN_TOKEN: '0123456789abcdef',
    });
    expect(await without.exit()).toBe(1);
  });
});
