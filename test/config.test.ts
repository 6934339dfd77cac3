import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Config, readConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/faults.ts';
import { readAdmin } from '../src/config/reader.ts';
import { readStartConfig } from '../src/config/start.ts';

const BASE = { UPSTREAM: 'http://whisper-gate:7860' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(text: string): string {
  const path = join(folder, 'whisper-proxy.env');
  writeFileSync(path, text);
  return path;
}

function faults(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'no fault';
}

describe('the defaults', () => {
  test('are those of the manual', () => {
    expect(readConfig(BASE)).toEqual({
      file: null,
      upstream: { kind: 'http', host: 'whisper-gate', port: 7860 },
      ingress: {
        listen: { kind: 'tcp', host: '0.0.0.0', port: 7860 },
        clients: null,
        connectTimeout: 5000,
        holdTimeout: null,
        trustForwarded: [],
      },
      egress: {
        listen: { kind: 'tcp', host: '127.0.0.1', port: 3128 },
        tlsListen: null,
        httpListen: null,
        dnsListen: null,
        clients: null,
        requireSni: true,
        onReload: 'keep',
        policy: { allow: [], deny: [], mode: 'enforce', maxUpload: { default: null, groups: {} } },
        maxConnections: 256,
        connectTimeout: 10_000,
        idleTimeout: 300_000,
      },
      admin: { listen: { kind: 'tcp', host: '127.0.0.1', port: 9090 }, token: null },
      shutdownTimeout: 8000,
      log: { level: 'info', allowed: true, requests: false },
      controlSocket: null,
      settings: {},
      fixed: BASE,
    } satisfies Config);
  });

  test('the configuration is frozen, all the way down', () => {
    const config = readConfig({ ...BASE, EGRESS_ALLOW: 'hf.co' });
    expect(() => Object.assign(config.egress, { maxConnections: 1 })).toThrow(TypeError);
    expect(() => (config.egress.policy.allow as unknown[]).push(1)).toThrow(TypeError);
  });

  test('empty is unset', () => {
    const config = readConfig({ ...BASE, EGRESS_ALLOW: '', EGRESS_MODE: '', ADMIN_TOKEN: '' });
    expect(config).toEqual(readConfig(BASE));
  });

  test('presets give way to everything', () => {
    const presets = { UPSTREAM: 'embedded', LOG_LEVEL: 'debug' };
    expect(readConfig({}, presets).upstream).toEqual({ kind: 'embedded' });
    expect(readConfig(BASE, presets)).toMatchObject({
      upstream: { kind: 'http' },
      log: { level: 'debug' },
    });
  });
});

describe('values', () => {
  test.each([
    ['UPSTREAM', 'http://127.0.0.1:7860/', { upstream: { host: '127.0.0.1', port: 7860 } }],
    ['UPSTREAM', 'http://[::1]:7860', { upstream: { host: '::1', port: 7860 } }],
    ['UPSTREAM', 'http://whisper', { upstream: { host: 'whisper', port: 80 } }],
    [
      'UPSTREAM',
      'unix:/run/whisper/api.sock',
      { upstream: { kind: 'unix', path: '/run/whisper/api.sock' } },
    ],
    ['INGRESS_LISTEN', '[::]:7860', { ingress: { listen: { host: '::', port: 7860 } } }],
    [
      'INGRESS_LISTEN',
      'unix:/run/x.sock',
      { ingress: { listen: { kind: 'unix', path: '/run/x.sock' } } },
    ],
    [
      'INGRESS_CLIENTS',
      'session-manager',
      { ingress: { clients: [{ kind: 'name', name: 'session-manager' }] } },
    ],
    ['INGRESS_HOLD_TIMEOUT', '30s', { ingress: { holdTimeout: 30_000 } }],
    [
      'INGRESS_TRUST_FORWARDED',
      'session-manager',
      { ingress: { trustForwarded: [{ kind: 'name', name: 'session-manager' }] } },
    ],
    ['EGRESS_CONNECT_TIMEOUT', '500ms', { egress: { connectTimeout: 500 } }],
    ['EGRESS_IDLE_TIMEOUT', '1h', { egress: { idleTimeout: 3_600_000 } }],
    ['EGRESS_MODE', 'report', { egress: { policy: { mode: 'report' } } }],
    ['EGRESS_MAX_CONNECTIONS', '1', { egress: { maxConnections: 1 } }],
    ['LOG_ALLOWED', 'false', { log: { allowed: false } }],
    ['LOG_REQUESTS', 'true', { log: { requests: true } }],
    ['EGRESS_TLS_LISTEN', '10.89.77.2:443', { egress: { tlsListen: { port: 443 } } }],
    ['EGRESS_HTTP_LISTEN', '[::1]:80', { egress: { httpListen: { host: '::1', port: 80 } } }],
    ['DNS_LISTEN', '10.89.77.2:53', { egress: { dnsListen: { host: '10.89.77.2', port: 53 } } }],
    ['EGRESS_REQUIRE_SNI', 'false', { egress: { requireSni: false } }],
    ['EGRESS_MAX_UPLOAD', '64KiB', { egress: { policy: { maxUpload: { default: 65_536 } } } }],
    ['EGRESS_MAX_UPLOAD', '1MiB', { egress: { policy: { maxUpload: { default: 1_048_576 } } } }],
    ['EGRESS_MAX_UPLOAD', '2GiB', { egress: { policy: { maxUpload: { default: 2 ** 31 } } } }],
    ['EGRESS_MAX_UPLOAD', '512B', { egress: { policy: { maxUpload: { default: 512 } } } }],
  ])('%s=%s', (name, value, expected) => {
    expect(readConfig({ ...BASE, [name]: value })).toMatchObject(expected);
  });

  test('rules come from every group, separated by commas or white space', () => {
    const config = readConfig({
      ...BASE,
      EGRESS_ALLOW: 'a.example,b.example',
      EGRESS_ALLOW_MODELS: ' hf.co\t*.hf.co , ',
      EGRESS_DENY_NOISE_2: 'api.gradio.app',
    });
    const { allow, deny } = config.egress.policy;
    expect(allow.map(({ label }) => label)).toEqual([
      'a.example',
      'b.example',
      'MODELS hf.co',
      'MODELS *.hf.co',
    ]);
    expect(deny.map(({ label }) => label)).toEqual(['NOISE_2 api.gradio.app']);
  });

  test('a group has a limit of its own, if it has rules', () => {
    const limit = { EGRESS_MAX_UPLOAD_HF: '64KiB' };
    const { policy } = readConfig({ ...BASE, ...limit, EGRESS_ALLOW_HF: 'hf.co' }).egress;
    expect(policy.maxUpload).toEqual({ default: null, groups: { HF: 65_536 } });
    expect(faults({ ...BASE, ...limit, EGRESS_ALLOW_HFF: 'hf.co' })).toMatch(
      /EGRESS_MAX_UPLOAD_HF="64KiB": there is no EGRESS_ALLOW_HF that it could limit; set that/,
    );
    expect(faults({ ...BASE, ...limit })).toBe('no fault');
  });

  test.each([
    ['UPSTREAM', 'https://whisper', /http:\/\/host:port/],
    ['UPSTREAM', 'http://whisper:7860/path', /http:\/\/host:port/],
    ['UPSTREAM', 'http://user@whisper', /http:\/\/host:port/],
    ['UPSTREAM', 'http://whisper:0', /http:\/\/host:port/],
    ['UPSTREAM', 'http://127.1:80', /http:\/\/host:port/],
    ['UPSTREAM', 'unix:api.sock', /absolute path/],
    ['UPSTREAM', `unix:/${'a'.repeat(107)}`, /absolute path/],
    ['INGRESS_LISTEN', '7860', /address:port/],
    ['INGRESS_LISTEN', 'localhost:7860', /address:port/],
    ['INGRESS_LISTEN', '::1:7860', /address:port/],
    ['INGRESS_LISTEN', '[127.0.0.1]:7860', /address:port/],
    ['INGRESS_LISTEN', '127.0.0.1:65536', /address:port/],
    ['EGRESS_LISTEN', 'unix:/run/x.sock', /address:port/],
    ['INGRESS_CLIENTS', '10.0.0.1/24', /not: 10\.0\.0\.1\/24/],
    ['INGRESS_HOLD_TIMEOUT', '30', /5m/],
    ['INGRESS_TRUST_FORWARDED', 'b!', /not: b!/],
    ['EGRESS_CLIENTS', 'a b! c', /not: b!/],
    ['EGRESS_IDLE_TIMEOUT', '5', /5m/],
    ['EGRESS_IDLE_TIMEOUT', '0s', /5m/],
    ['EGRESS_IDLE_TIMEOUT', '-1s', /5m/],
    ['EGRESS_IDLE_TIMEOUT', '1000h', /596h/],
    ['EGRESS_MAX_CONNECTIONS', '0', /whole number/],
    ['EGRESS_MAX_CONNECTIONS', '1.5', /whole number/],
    ['EGRESS_MODE', 'Report', /enforce, report/],
    ['LOG_ALLOWED', 'yes', /true or false/],
    ['LOG_REQUESTS', 'path', /true or false/],
    ['LOG_LEVEL', 'verbose', /trace, debug/],
    ['EGRESS_ALLOW', '*', /every host/],
    ['EGRESS_ALLOW_X', '*.com', /public suffix/],
    ['EGRESS_ALLOW_x', 'hf.co', /upper-case/],
    ['EGRESS_ALOW', 'hf.co', /no such variable/],
    ['INGRESS_PORT', '7860', /no such variable/],
    ['DNS_SERVER', 'x', /no such variable/],
    ['ADMIN_PORT', 'x', /no such variable/],
    ['ADMIN_LISTEN', '0.0.0.0:9090', /ADMIN_TOKEN/],
    ['EGRESS_TLS_LISTEN', '443', /address:port/],
    ['EGRESS_HTTP_LISTEN', 'unix:/run/x.sock', /address:port/],
    ['DNS_LISTEN', '0.0.0.0:53', /one IPv4 address/],
    ['DNS_LISTEN', '[::1]:53', /one IPv4 address/],
    ['DNS_LISTEN', '10.89.77.2', /address:port/],
    ['EGRESS_REQUIRE_SNI', '1', /true or false/],
    ['EGRESS_MAX_UPLOAD', '0', /at least one byte/],
    ['EGRES_ALLOW', 'hf.co', /did you mean EGRESS_ALLOW\?/],
    ['EGRESS_ALLOWLIST', 'hf.co', /did you mean EGRESS_ALLOW\?/],
    ['EGRESS_WHITELIST_HF', 'hf.co', /did you mean EGRESS_ALLOW_HF\?/],
    ['EGRSES_ALOW_HF', 'hf.co', /did you mean EGRESS_ALLOW_HF\?/],
    ['EGRESS_BLOCKLIST', 'hf.co', /did you mean EGRESS_DENY\?/],
    ['egress_allow', 'hf.co', /did you mean EGRESS_ALLOW\?/],
    ['INGRES_LISTEN', '127.0.0.1:1', /did you mean INGRESS_LISTEN\?/],
    ['CONTROL_SOKET', '/tmp/x', /did you mean CONTROL_SOCKET\?/],
    ['UPSTREM', 'unix:/x', /did you mean UPSTREAM\?/],
    ['LOG_LEVL', 'debug', /did you mean LOG_LEVEL\?/],
    ['CONFIG_FIEL', '/x', /did you mean CONFIG_FILE\?/],
    ['ADMIN_LISTN', '127.0.0.1:1', /did you mean ADMIN_LISTEN\?/],
    ['EGRESS_ALLOW', '169.254.169.254:80', /stays closed under any rule/],
    ['EGRESS_ALLOW', '169.254.0.0/16:*', /stays closed under any rule/],
    ['EGRESS_ALLOW', '169.254.8.0/24', /stays closed under any rule/],
    ['EGRESS_ALLOW', '168.63.129.16', /stays closed under any rule/],
    ['EGRESS_ALLOW', '[fe80::1]:443', /stays closed under any rule/],
    ['EGRESS_ALLOW', '[fd00:ec2::254]:80', /stays closed under any rule/],
    ['EGRESS_ALLOW', '[64:ff9b::a9fe:a9fe]:80', /stays closed under any rule/],
    ['EGRESS_ALLOW', '“hf.co”', /U\+201C.*quote/],
    ['INGRESS_CLIENTS', 'session\u2013manager', /U\+2013.*write -/],
    ['EGRESS_MAX_UPLOAD', '256', /; did you mean 256KiB or 256B\?/],
    ['EGRESS_MAX_UPLOAD', '256KB', /; did you mean 256KiB\?/],
    ['EGRESS_MAX_UPLOAD', '256kib', /; did you mean 256KiB\?/],
    ['EGRESS_MAX_UPLOAD', '1 m', /; did you mean 1MiB\?/],
    ['EGRESS_MAX_UPLOAD', '64KB', /64KiB/],
    ['EGRESS_MAX_UPLOAD', '64 KiB', /64KiB/],
    ['EGRESS_MAX_UPLOAD', '-1', /64KiB/],
    ['EGRESS_MAX_UPLOAD', '1.5MiB', /64KiB/],
    ['EGRESS_MAX_UPLOAD_X', '999999999999GiB', /64KiB/],
    ['EGRESS_MAX_UPLOAD_x', '64KiB', /upper-case/],
    ['EGRESS_MAX_UPLOADS', '64KiB', /no such variable/],
  ])('%s=%s is a fault that names variable, value and remedy', (name, value, message) => {
    const text = faults({ ...BASE, [name]: value });
    expect(text).toMatch(message);
    expect(text).toContain(name);
    expect(text).toContain(value.slice(0, 100));
  });

  test('a client of egress is no rule, since it stays closed', () => {
    const env = { ...BASE, EGRESS_CLIENTS: '10.89.77.0/24' };
    expect(faults({ ...env, EGRESS_ALLOW: '10.89.77.3:*' })).toMatch(/in EGRESS_CLIENTS/);
    expect(faults({ ...env, EGRESS_DENY: '10.89.77.3' })).toBe('no fault');
    expect(faults({ ...env, EGRESS_ALLOW: '10.0.0.0/8:443' })).toBe('no fault');
  });

  test.each([
    ['abc', '0.0.0.0:9090', /ADMIN_TOKEN: beyond loopback it must have at least 16 characters/],
    ['a'.repeat(15), '[::]:9090', /ADMIN_TOKEN: beyond loopback/],
    ['a'.repeat(16), '0.0.0.0:9090', /^no fault$/],
    ['abc', '127.0.0.1:9090', /^no fault$/],
  ])('the token %s at %s', (ADMIN_TOKEN, ADMIN_LISTEN, expected) => {
    expect(faults({ ...BASE, ADMIN_TOKEN, ADMIN_LISTEN })).toMatch(expected);
  });

  test('foreign variables of the environment are none of our business', () => {
    const names = ['PATH', 'LOGNAME', 'NODE_ENV', 'LOGLEVEL', 'MODE', 'ALLOW', 'DENY', 'TOKEN'];
    names.push('PROGRESS_MODE', 'HOSTNAME', 'UPSTREAM_URL', 'log_level', 'LISTEN', 'CONFIG');
    const env = Object.fromEntries(names.map((name) => [name, 'x']));
    expect(faults({ ...BASE, ...env })).toBe('no fault');
  });

  test('a missing UPSTREAM says what to set', () => {
    expect(faults({})).toMatch(/UPSTREAM: it is not set; set it to/);
  });

  test('a unix socket has no client addresses', () => {
    const env = { ...BASE, INGRESS_LISTEN: 'unix:/run/x.sock', INGRESS_CLIENTS: '10.0.0.1' };
    expect(faults(env)).toMatch(/INGRESS_CLIENTS.*leave it unset/);
  });

  test('two listeners at one address are named both', () => {
    const text = faults({ ...BASE, INGRESS_LISTEN: '127.0.0.1:80', EGRESS_LISTEN: '127.0.0.1:80' });
    expect(text).toMatch(/EGRESS_LISTEN="127\.0\.0\.1:80": INGRESS_LISTEN listens at/);
    const same = { EGRESS_TLS_LISTEN: '127.0.0.1:53', DNS_LISTEN: '127.0.0.1:53' };
    expect(faults({ ...BASE, ...same })).toMatch(/DNS_LISTEN.*EGRESS_TLS_LISTEN listens at/);
    expect(faults({ ...BASE, EGRESS_LISTEN: '127.0.0.1:0', ADMIN_LISTEN: '127.0.0.1:0' })).toBe(
      'no fault',
    );
  });

  test('every client that is none is named', () => {
    const text = faults({ ...BASE, EGRESS_CLIENTS: '10.89.77.3:80 whisper/24 10.89.77.3' });
    expect(text).toMatch(/these are not: 10\.89\.77\.3:80, whisper\/24$/);
  });

  test('the token is never told', () => {
    const path = write(
      'ADMIN_TOKEN="s3cret s3cret"\nADMIN_TOKEN=s3cret\nexport ADMIN_TOKEN=s3cret\nadmin_token=s3cret\nUPSTREAM=http://me:s3cret@whisper\n',
    );
    const text = faults({ ...BASE, CONFIG_FILE: path });
    expect(text).toMatch(/5 faults/);
    expect(text).not.toContain('s3cret');
  });
});

test('what is hidden goes by the name, not by the value', () => {
  const hidden = [
    'ADMIN_TOKN=s3cret',
    'admin-token=s3cret',
    'ADMIN_TOKEN : s3cret',
    'ADMIN_TOKEN s3cret',
    'ADMIN_TOKEN=“s3cret”',
    'ADMIN_SECRET=s3cret',
    'MY_PASSWORD=s3cret',
    'UPSTREAM=https://me:s3cret@whisper',
    'EGRESS_ALLOW=https://me:s3cret@hf.co',
  ];
  for (const line of hidden) {
    expect(faults({ ...BASE, CONFIG_FILE: write(`${line}\n`) }), line).not.toContain('s3cret');
  }
  const told = [
    ['EGRESS_ALLOW=tokyo.example.org:99999', 'tokyo.example.org:99999'],
    ['EGRESS_ALLOW=compass.example.org:x', 'compass.example.org:x'],
    ['EGRESS_ALLOW_TOKENS=secret.example:x', 'secret.example:x'],
    ['tokyo.example.org', 'tokyo.example.org'],
    ['EGRES_ALLOW=tokyo.example.org', 'tokyo.example.org'],
    ['UPSTREAM=https://me:s3cret@whisper', '://…@whisper'],
  ] as const;
  for (const [line, value] of told) {
    expect(faults({ ...BASE, CONFIG_FILE: write(`${line}\n`) })).toContain(value);
  }
});

describe('the file', () => {
  test('wins over the environment in what does not change at run time', () => {
    const path = write('INGRESS_CONNECT_TIMEOUT=1s\nEGRESS_ALLOW=hf.co\n');
    const config = readConfig({ ...BASE, CONFIG_FILE: path, INGRESS_CONNECT_TIMEOUT: '2s' });
    expect(config.ingress.connectTimeout).toBe(1000);
    expect(config.egress.policy.allow).toHaveLength(1);
    expect(config.file).toBe(path);
  });

  test.each([
    'EGRESS_ALLOW',
    'EGRESS_ALLOW_X',
    'EGRESS_DENY',
    'EGRESS_MODE',
    'EGRESS_MAX_CONNECTIONS',
    'EGRESS_MAX_UPLOAD',
    'EGRESS_MAX_UPLOAD_X',
    'LOG_LEVEL',
    'LOG_ALLOWED',
    'LOG_REQUESTS',
  ])('%s must not stand in the environment beside it', (name) => {
    const path = write('EGRESS_ALLOW=hf.co\n');
    expect(faults({ ...BASE, CONFIG_FILE: path, [name]: '1' })).toMatch(
      `${name}="1": with a configuration file it must stand in ${path}`,
    );
  });

  test('every fault is told at once, with its line', () => {
    const path = write('FOO=bar\nEGRESS_ALLOW=*.com hf.co:x\nEGRESS_IDLE_TIMEOUT=5\n');
    const text = faults({ CONFIG_FILE: path });
    expect(text).toContain('5 faults');
    expect(text.split('\n').slice(1)).toEqual([
      expect.stringContaining('line 1: FOO="bar"'),
      expect.stringContaining('line 2: EGRESS_ALLOW="*.com"'),
      expect.stringContaining('line 2: EGRESS_ALLOW="hf.co:x"'),
      expect.stringContaining('line 3: EGRESS_IDLE_TIMEOUT="5"'),
      expect.stringMatching(/^ {2}UPSTREAM/),
    ]);
  });

  test('a huge value is cut in the message', () => {
    const path = write(`EGRESS_MODE=${'x'.repeat(10_000)}\n`);
    expect(faults({ ...BASE, CONFIG_FILE: path }).length).toBeLessThan(600);
  });

  test('CONFIG_FILE itself cannot stand in it', () => {
    expect(faults({ ...BASE, CONFIG_FILE: write('CONFIG_FILE=/x\n') })).toMatch(
      /belongs in the environment/,
    );
  });

  test('one that is missing is a fault, but not where the image expects it', () => {
    expect(faults({ ...BASE, CONFIG_FILE: join(folder, 'none.env') })).toMatch(/no such file/);
    expect(
      readConfig({ ...BASE, CONFIG_FILE: '/etc/whisper-proxy/whisper-proxy.env' }).file,
    ).toBeNull();
  });

  test('a folder and bytes that are no text are told apart', () => {
    mkdirSync(join(folder, 'sub'));
    expect(faults({ ...BASE, CONFIG_FILE: join(folder, 'sub') })).toMatch(/it is a folder/);
    const path = join(folder, 'binary.env');
    writeFileSync(path, Buffer.from([0x41, 0x3d, 0xff, 0xfe]));
    expect(faults({ ...BASE, CONFIG_FILE: path })).toMatch(/not UTF-8/);
  });
});

test('who asks for health only needs to know where', () => {
  const env = { EGRESS_MODE: 'nonsense', ADMIN_LISTEN: '127.0.0.1:9999', ADMIN_TOKEN: 'abc' };
  expect(readAdmin(env)).toEqual({
    listen: { kind: 'tcp', host: '127.0.0.1', port: 9999 },
    token: 'abc',
  });
  expect(() => readAdmin({ ADMIN_LISTEN: 'x' })).toThrow(ConfigError);
});

describe('a start with a faulty file', () => {
  const GUARDED = { ...BASE, INGRESS_CLIENTS: 'session-manager' };

  function startWith(text: string | null, env: Record<string, string> = GUARDED) {
    const path = text === null ? join(folder, 'none.env') : write(text);
    return readStartConfig({ ...env, CONFIG_FILE: path });
  }

  test.each([
    ['an unknown name', 'EGRES_ALLOW=hf.co'],
    ['a faulty rule', 'EGRESS_ALLOW=*.com'],
    ['a faulty deny rule', 'EGRESS_DENY_X=a/b'],
    ['a faulty limit', 'EGRESS_MAX_UPLOAD=64KB'],
    ['a limit of no group', 'EGRESS_MAX_UPLOAD_X=64KiB'],
    ['a faulty mode', 'EGRESS_MODE=enforced'],
    ['a faulty number', 'EGRESS_MAX_CONNECTIONS=0'],
    ['a faulty word', 'EGRESS_ON_RELOAD=close'],
    ['a faulty level', 'LOG_LEVEL=loud'],
    ['a faulty switch', 'LOG_ALLOWED=yes'],
    ['a line that is none', 'hf.co'],
    ['a name twice', 'EGRESS_DENY=a.example\nEGRESS_DENY=b.example'],
    ['quotes that do not match', 'EGRESS_DENY="a.example'],
    ['export', 'export EGRESS_DENY=a.example'],
    ['CONFIG_FILE in it', 'CONFIG_FILE=/x'],
    ['a strange line break', '# note\rEGRESS_DENY=a.example'],
    ['bytes that are no text', '\ud800'],
  ])('%s: denies everything, and listens', (_what, line) => {
    const text = `EGRESS_ALLOW_REST=hf.co\nEGRESS_MODE_=x\nLOG_LEVEL=silent\n${line}\n`;
    const { config, invalid } = startWith(
      line.startsWith('LOG_LEVEL') ? text.replace('LOG_LEVEL=silent\n', '') : text,
    );
    expect(config.egress.policy).toEqual({
      ...{ allow: [], deny: [], mode: 'enforce', maxUpload: { default: null, groups: {} } },
      invalid: true,
    });
    expect(config.log.level).toBe('info');
    expect(config.ingress.clients).toHaveLength(1);
    expect(invalid?.messages.length).toBeGreaterThan(1);
    expect(() => Object.assign(config.egress.policy, { mode: 'report' })).toThrow(TypeError);
  });

  test('one that is missing, is a folder or is no text does the same', () => {
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'binary.env'), Buffer.from([0x41, 0x3d, 0xff, 0xfe]));
    for (const name of ['none.env', 'sub', 'binary.env']) {
      const path = join(folder, name);
      const { config, invalid } = readStartConfig({ ...GUARDED, CONFIG_FILE: path });
      expect(config).toMatchObject({ file: path, egress: { policy: { invalid: true } } });
      expect(invalid?.messages).toHaveLength(1);
    }
  });

  test('a rule of the environment does not come into force beside it', () => {
    const { config } = startWith(null, {
      ...GUARDED,
      EGRESS_ALLOW: 'hf.co',
      EGRESS_MODE: 'report',
    });
    expect(config.egress.policy).toMatchObject({ allow: [], mode: 'enforce' });
  });

  test.each([
    ['a listener', 'ADMIN_LISTEN=garbage'],
    ['a listener, twice', 'ADMIN_LISTEN=127.0.0.1:1\nADMIN_LISTEN=127.0.0.1:2'],
    ['a listener, in half a pair of quotes', 'INGRESS_LISTEN="127.0.0.1:1'],
    ['the token', 'ADMIN_TOKEN=no spaces'],
    ['the upstream', 'UPSTREAM=whisper:7860'],
    ['a time-out', 'EGRESS_IDLE_TIMEOUT=5'],
    ['the clients', 'EGRESS_CLIENTS=a/b'],
    ['two listeners at one address', 'INGRESS_LISTEN=127.0.0.1:1\nEGRESS_LISTEN=127.0.0.1:1'],
    ['a listener without its token', 'ADMIN_LISTEN=0.0.0.0:9090'],
  ])('a fault in %s ends it, with all the others told', (_what, lines) => {
    expect(() => startWith(`EGRESS_ALLOW=*\n${lines}\n`)).toThrow(ConfigError);
    expect(() => startWith(`EGRESS_ALLOW=*\n${lines}\n`)).toThrow(/EGRESS_ALLOW="\*"/);
  });

  test.each([
    [{ EGRESS_ALLOW: 'hf.co' }],
    [{ EGRESS_ALOW: 'hf.co' }],
    [{ INGRESS_CONNECT_TIMEOUT: '5' }],
  ])('a fault in the environment, %j, ends it', (env) => {
    expect(() => startWith('EGRESS_ALLOW=*\n', { ...GUARDED, ...env })).toThrow(ConfigError);
    expect(() => readStartConfig({ ...BASE, EGRESS_ALLOW: '*' })).toThrow(ConfigError);
  });

  test('ingress is not opened to anybody where the faults may hide whom it is for', () => {
    const hidden = [
      'INGRESS_CLIENTS : session-manager',
      'INGRESS_ALLOW=10.0.0.5',
      'INGRESS_WHITELIST=10.0.0.5',
      'INGRESS_MODE=x',
      'EGRES_ALLOW=hf.co',
      null,
    ];
    for (const text of hidden) {
      expect(() => startWith(text, BASE)).toThrow(/INGRESS_CLIENTS: it is not set, but/);
      expect(startWith(text, GUARDED).invalid).not.toBeNull();
      const local = { ...BASE, INGRESS_LISTEN: '127.0.0.1:7860' };
      expect(startWith(text, local).invalid).not.toBeNull();
    }
    for (const text of ['INGRESS_CLIENT=session-manager', 'INGRES_CLIENTS=10.0.0.5']) {
      expect(() => startWith(text, GUARDED)).toThrow('did you mean INGRESS_CLIENTS?');
    }
    expect(startWith('EGRESS_ALLOW=*', BASE).config.ingress.clients).toBeNull();
  });

  test.each([
    'Environment=ADMIN_TOKEN=s3kr1t-s3kr1t',
    'set ADMIN_TOKEN=s3kr1t-s3kr1t',
    'declare -x ADMIN_TOKEN=s3kr1t-s3kr1t',
    '- ADMIN_TOKEN: s3kr1t-s3kr1t',
    'ADMIN_TOKEN s3kr1t-s3kr1t',
    'ADMIN_TOKN=s3kr1t-s3kr1t',
    'ADMIN_LISTEN=0.0.0.0:9090 ADMIN_TOKEN=s3kr1t-s3kr1t',
    'INGRESS_CLIENTS=a! ADMIN_TOKEN=s3kr1t-s3kr1t',
    'EGRESS_ALLOW=a.org ADMIN_TOKEN=s3kr1t-s3kr1t',
  ])('%s does not show the token', (text) => {
    let said: string;
    try {
      said = String(startWith(text, GUARDED).invalid?.message);
    } catch (error) {
      said = String(error);
    }
    expect(said).toContain('line 1');
    expect(said).not.toContain('s3kr1t');
  });

  test('the admin listener takes no token where the faults may hide the one it has', () => {
    const env = { ...GUARDED, ADMIN_LISTEN: '0.0.0.0:9090' };
    const tokens = ['ADMIN_TOKEN : s3cret', null].map((text) => startWith(text, env).config.admin);
    for (const { token } of tokens) expect(token).toMatch(/^[\w-]{43}$/);
    expect(tokens[0]).not.toEqual(tokens[1]);
    expect(() => startWith('EGRESS_ALLOW=*', env)).toThrow(/needs ADMIN_TOKEN/);
  });
});
