import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readAskedHost } from '../src/cli/check-target.ts';
import { formatHostPort } from '../src/policy/host.ts';
import { Cli } from './helpers/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
afterAll(() => rmSync(folder, { recursive: true }));

const RULES = {
  EGRESS_ALLOW_PLAIN: '8.8.8.8 localhost:8080 127.0.0.0/8:8080 10.0.0.0/8 [::1]:8080',
  EGRESS_DENY: '8.8.4.4',
  EGRESS_CLIENTS: '10.89.77.3',
};

async function check(args: string[], env: Record<string, string> = RULES) {
  const cli = new Cli(['check', ...args], env);
  const status = await cli.exit();
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('about a host, check tells', () => {
  test.each([
    [
      'what is allowed, and by which rule',
      '8.8.8.8',
      0,
      /^8\.8\.8\.8:443 {2}allow {2}by the rule PLAIN 8\.8\.8\.8\n {4}8\.8\.8\.8 {2}public\n$/,
    ],
    [
      'what it resolves to, and what that is',
      'localhost:8080',
      0,
      /^localhost:8080 {2}allow .*\n( {4}(127\.0\.0\.1|::1) {2}loopback\n)+$/,
    ],
    [
      'what is not allowed, and the line to add',
      '9.9.9.9:80',
      1,
      /^9\.9\.9\.9:80 {2}deny {2}not_allowed\n {4}9\.9\.9\.9 {2}public\n.*to allow it: EGRESS_ALLOW_9_9_9_9_80=9\.9\.9\.9:80\n$/,
    ],
    ['what a deny rule closes', '8.8.4.4:80', 1, /deny {2}deny_rule, by the rule 8\.8\.4\.4\n/],
    [
      'a private address',
      '192.168.1.1',
      1,
      /deny {2}non_public_address\n {4}192\.168\.1\.1 {2}private\n/,
    ],
    [
      'a private address that a rule opens',
      '10.1.2.3',
      0,
      /allow {2}by the rule PLAIN 10\.0\.0\.0\/8\n {4}10\.1\.2\.3 {2}private\n/,
    ],
    [
      'a metadata address',
      '169.254.169.254',
      1,
      / {4}169\.254\.169\.254 {2}metadata, never reached\n/,
    ],
    ['a client of egress', '10.89.77.3', 1, /one of its clients\n.*whatever the rules say/],
    [
      'a name that is not found',
      'closed.invalid',
      1,
      /deny {2}not_allowed\n {4}it cannot be looked up here/,
    ],
  ])('%s', async (_, target, status, text) => {
    expect(await check([target])).toEqual({
      status,
      stdout: expect.stringMatching(text),
      stderr: '',
    });
  });

  test('an allowed name that is not found is no success', async () => {
    const result = await check(['closed.invalid'], { EGRESS_ALLOW: 'closed.invalid' });
    expect(result).toMatchObject({ status: 1, stdout: expect.stringMatching(/deny {2}dns_error/) });
  });

  test('its own listener', async () => {
    const env = { EGRESS_ALLOW: '127.0.0.0/8:*', EGRESS_LISTEN: '127.0.0.1:3128' };
    expect((await check(['127.0.0.1:3128'], env)).status).toBe(1);
    expect((await check(['127.0.0.1:3129'], env)).status).toBe(0);
  });

  test('several at once, and 1 if one of them is denied', async () => {
    const { status, stdout } = await check(['8.8.8.8', '9.9.9.9', '10.1.2.3']);
    expect(status).toBe(1);
    expect(stdout.match(/^\S/gm)).toHaveLength(3);
  });

  test('by another file, and what would be in report mode', async () => {
    const path = file('report.env', 'EGRESS_MODE=report\n');
    const result = await check(['9.9.9.9', '--env-file', path], {});
    expect(result).toMatchObject({ status: 0, stdout: expect.stringMatching(/would_deny/) });
  });
});

describe('--config', () => {
  test('says that a file is valid', async () => {
    const path = file('good.env', 'EGRESS_ALLOW=hf.co *.hf.co\nEGRESS_DENY=x.hf.co\n');
    const expected = {
      status: 0,
      stderr: '',
      stdout: expect.stringContaining('2 allow and 1 deny rules'),
    };
    expect(await check(['--config', path], {})).toEqual(expected);
    expect(await check(['--config'], { CONFIG_FILE: path })).toEqual(expected);
    expect(await check(['--config', '--env-file', path], {})).toEqual(expected);
  });

  test('tells every fault with its line, and ends with 78', async () => {
    const path = file('bad.env', 'EGRESS_ALLOW=*\nEGRESS_MODE=x\n');
    const { status, stdout, stderr } = await check(['--config', path], {});
    expect([status, stdout]).toEqual([78, '']);
    expect(stderr).toMatch(/line 1: EGRESS_ALLOW[\s\S]*line 2: EGRESS_MODE/);
    expect(stderr).not.toContain('started');
    expect((await check(['8.8.8.8', '--env-file', path], {})).status).toBe(78);
  });
});

test('a client by name is closed for it too', async () => {
  const env = { EGRESS_ALLOW: '127.0.0.1:9', EGRESS_CLIENTS: 'localhost' };
  expect((await check(['127.0.0.1:9'], env)).status).toBe(1);
});

test('--env-file is ours, and not Node’s, however the file is wrong', () => {
  const main = new URL('../dist/main.js', import.meta.url).pathname;
  const [, command = ''] = /^#!\/usr\/bin\/env -S (.*)$/m.exec(readFileSync(main, 'utf8')) ?? [];
  const run = (path: string) => {
    const args = [...command.split(' ').slice(1), main, 'check', '8.8.8.8', '--env-file', path];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: {} });
    return `${status} ${stderr}`;
  };
  expect(run(join(folder, 'none.env'))).toMatch(/^78 .*no such file/s);
  expect(run(folder)).toMatch(/^78 .*it is a folder/s);
  expect(run(file('options.env', 'NODE_OPTIONS=--nonsense\n'))).toMatch(/^78 .*NODE_OPTIONS/s);
});

test('--file is another file, however the program is called, and however the file is wrong', async () => {
  const none = await check(['8.8.8.8', '--file', join(folder, 'none.env')]);
  expect(none).toMatchObject({ status: 78, stderr: expect.stringMatching(/no such file/) });
  const path = file('other.env', 'EGRESS_MODE=report\n');
  const result = await check(['9.9.9.9', '--file', path], {});
  expect(result).toMatchObject({ status: 0, stdout: expect.stringMatching(/would_deny/) });
});

test('no host to ask about, or --config beside one, is a slip of usage', async () => {
  for (const args of [[], ['8.8.8.8', '--config']]) {
    expect(await check(args)).toEqual({
      status: 2,
      stdout: '',
      stderr:
        'whisper-proxy: name hosts, or give --config, and not both; see whisper-proxy check --help\n',
    });
  }
});

test('a host that cannot be read is told in one line, with how to write it', async () => {
  expect(await check(['https://huggingface.co/'])).toEqual({
    status: 2,
    stdout: '',
    stderr:
      'whisper-proxy: https://huggingface.co/: write the host without scheme and path; did you mean huggingface.co:443?; see whisper-proxy check --help\n',
  });
});

describe('the host that check is asked about', () => {
  test.each([
    ['huggingface.co', 'huggingface.co:443'],
    ['HuggingFace.co.:80', 'huggingface.co:80'],
    ['bücher.example', 'xn--bcher-kva.example:443'],
    ['bücher.example:8443', 'xn--bcher-kva.example:8443'],
    ['192.0.2.7', '192.0.2.7:443'],
    ['192.0.2.7:22', '192.0.2.7:22'],
    ['::1', '[::1]:443'],
    ['2001:db8::1', '[2001:db8::1]:443'],
    ['1:2:3:4:5:6:7:8', '[1:2:3:4:5:6:7:8]:443'],
    ['[2001:db8::1]', '[2001:db8::1]:443'],
    ['[2001:DB8::1]:80', '[2001:db8::1]:80'],
    ['::ffff:192.0.2.7', '192.0.2.7:443'],
  ])('%s is %s', (text, target) => {
    const { host, port } = readAskedHost(text);
    expect(formatHostPort(host, port)).toBe(target);
  });

  test.each([
    ['https://huggingface.co/', /did you mean huggingface\.co:443\?$/],
    ['HTTPS://huggingface.co', /did you mean huggingface\.co:443\?$/],
    ['http://hf.co/a?b#c', /did you mean hf\.co:80\?$/],
    ['http://hf.co:8080/', /did you mean hf\.co:8080\?$/],
    ['http://hf.co:443/', /did you mean hf\.co:443\?$/],
    ['http://[2001:db8::1]/', /did you mean \[2001:db8::1\]:80\?$/],
    ['https://bücher.example/x', /did you mean xn--bcher-kva\.example:443\?$/],
    ['https://hf.co@evil.test/', /as in huggingface\.co/],
    ['https://', /as in huggingface\.co/],
    ['huggingface.co/openai/whisper', /without a path; did you mean huggingface\.co:443\?$/],
    ['hf.co:80/', /did you mean hf\.co:80\?$/],
    ['2001:db8::1:443', /did you mean \[2001:db8::1\]:443 or \[2001:db8::1:443\]:443\?$/],
    ['fe80::1%eth0', /without a zone|must be host/],
    ['hf.co:0', /from 1 to 65535/],
    ['hf.co:443x', /must be host/],
    ['hf.co:80:80', /one port/],
    ['hf.co:*', /name one port/],
    ['*.hf.co', /name one host/],
    ['*', /name the hosts/],
    ['10.0.0.0/8', /one address/],
    ['[2001:db8::]/32', /one address/],
    ['2130706433', /must be a host name/],
    ['', /must be host/],
    ['a b', /must be a host name/],
    ['hug\u200bgingface.co', /U\+200B is invisible/],
  ])('%j is not read, and it is said how to write it', (text, message) => {
    expect(() => readAskedHost(text)).toThrow(message);
  });
});
