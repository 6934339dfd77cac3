import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Cli, LOOPBACK } from './helpers/cli.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { Scrape } from './helpers/scrape.ts';

const ROOT = new URL('../', import.meta.url).pathname;
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

async function run(...args: string[]) {
  const cli = new Cli(args, {});
  const status = await cli.exit();
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}

describe('the version', () => {
  test('is what --version prints', async () => {
    const expected = { status: 0, stdout: `${PACKAGE.version}\n`, stderr: '' };
    expect(await run('--version')).toEqual(expected);
  });

  test('is in the first line of the log, in health, and in the metrics', async () => {
    const cli = new Cli([], { ...LOOPBACK, UPSTREAM: 'embedded' });
    cleanUp(() => cli.kill());
    const { admin } = await cli.addresses();
    expect(cli.lines[0]).toMatchObject({ msg: 'listening', version: PACKAGE.version });

    const json = await (await fetch(`http://${admin}/healthz`)).json();
    expect(json).toMatchObject({ status: 'ok', version: PACKAGE.version });
    const health = new Cli(['health'], { ADMIN_LISTEN: admin });
    expect(await health.exit()).toBe(0);
    expect(health.stdout).toContain(`version ${PACKAGE.version};`);

    const scraped = new Scrape(await (await fetch(`http://${admin}/metrics`)).text());
    const labels = { version: PACKAGE.version, node: process.versions.node };
    const [sample] = scraped.find('whisper_proxy_build_info');
    expect(sample).toMatchObject({ labels, value: 1 });
  });

  test('is the label of the image', () => {
    const label = /org\.opencontainers\.image\.version="(.*?)"/;
    const containerfile = readFileSync(join(ROOT, 'Containerfile'), 'utf8');
    expect(label.exec(containerfile)?.[1]).toBe(PACKAGE.version);
  });

  test('is found where the image has the program, by the link on its PATH', () => {
    const containerfile = readFileSync(join(ROOT, 'Containerfile'), 'utf8');
    expect(containerfile).toMatch(/^COPY LICENSE package\.json \.\/$/m);
    const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
    cleanUp(async () => rmSync(folder, { recursive: true }));
    cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    symlinkSync(join(folder, 'dist/main.js'), join(folder, 'whisper-proxy'));
    const printed = execFileSync(process.execPath, [join(folder, 'whisper-proxy'), '--version']);
    expect(String(printed)).toBe(`${PACKAGE.version}\n`);
  });
});
