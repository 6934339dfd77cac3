import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from './helpers/fake-host.ts';
import { isMissing } from './helpers/tools.ts';

const WHISPER = 'whisper.container';
const INSTALLER = fileURLToPath(new URL('../quadlets/install', import.meta.url));

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

describe('verify', () => {
  const CONTAINER = (network: string) =>
    `0|0|[no-new-privileges seccomp=/x/whisper-seccomp.json]|${network}|false`;

  beforeEach(() => {
    host.install();
    host.write(WHISPER, host.read('whisper.container.example'));
    host.write('whisper-proxy/whisper-proxy.env', 'EGRESS_ALLOW_A=*.hf.co "example.org"\n');
    host.set('inspect-whisper-gate', 'gate1');
    host.set('inspect-whisper-proxy', 'systemd-visp-net\nsystemd-whisper-net');
    host.set('inspect-whisper', CONTAINER('container:gate1'));
  });

  test('probes from both places, with no more rights than whisper has', () => {
    const { status, stdout, calls } = host.install('verify');
    expect(status).toBe(0);
    expect(stdout.match(/^ok /gm)).toHaveLength(5);
    const [whisper = '', vispNet = ''] = calls.filter((call) => /verify/.test(call));
    expect(whisper).toMatch(/--cap-drop=all --security-opt=no-new-privileges .*--read-only/);
    expect(whisper).toMatch(/--network=container:whisper-gate .*whisper-seccomp\.json/);
    expect(whisper).toMatch(/verify --from whisper --proxy 10\.89\.77\.2 .*--allowed example\.org/);
    expect(vispNet).toMatch(
      /--network=systemd-visp-net .*verify --from visp-net --proxy 10\.89\.77\.2$/,
    );
  });

  test('what is open shows, and is the exit status', () => {
    host.set('inspect-whisper', CONTAINER('bridge'));
    const { status, stdout } = host.install('verify', '--json');
    expect(status).toBe(1);
    const findings = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(findings.filter(({ ok }) => !ok)).toEqual([
      { check: "whisper has no network but whisper-gate's", ok: false, detail: 'bridge' },
    ]);
  });

  test("looks at other containers, bridges, and the host's published ports", () => {
    host.set('networks/podman', '10.88.0.1\nfd00::1');
    host.set('ps', '0.0.0.0:8080->80/tcp, 127.0.0.1:5000-5001->5000-5001/tcp');
    const also = host.install('verify').calls.find((call) => /--from whisper/.test(call));
    const places = ['10.88.0.1', '10.88.0.1:5000', '10.88.0.1:8080', '[fd00::1]', '[fd00::1]:5000'];
    for (const place of places) expect(also).toContain(` --also ${place} `);
  });

  test('a probe that finds a hole is the exit status too', () => {
    host.set('run-status', '1');
    expect(host.install('verify').status).toBe(1);
  });
});

test.skipIf(isMissing('shellcheck'))('shellcheck has nothing to say (needs shellcheck)', () => {
  const folder = `${INSTALLER}.d`;
  const files = readdirSync(folder).filter((name) => name.endsWith('.bash'));
  const { stdout } = spawnSync(
    'shellcheck',
    [INSTALLER, ...files.map((name) => join(folder, name))],
    {
      encoding: 'utf8',
    },
  );
  expect(stdout).toBe('');
});
