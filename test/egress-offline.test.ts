import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMakeNamespaces } from './helpers/ingress-namespaces.ts';
import { PROXY, WhisperPlace } from './helpers/whisper-place.ts';

const noNamespaces = !canMakeNamespaces();
const PYTHON = '/usr/bin/python3';
const hasModule = (name: string, python = PYTHON) =>
  spawnSync(python, ['-c', `import ${name}`]).status === 0;
const VARIABLES = { https_proxy: `http://${PROXY}:3128`, HTTPS_PROXY: `http://${PROXY}:3128` };

/** What each look-up of a name comes to, and how long all of them took. */
const LOOK_UP = `
import socket, sys, time
begun = time.monotonic()
for family in socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6:
    try:
        print(socket.getaddrinfo(sys.argv[1], 443, family)[0][4][0])
    except socket.gaierror as error:
        print("unknown" if error.errno == socket.EAI_NONAME else error)
print("slow" if time.monotonic() - begun > 3 else "fast")
`;
/** The classes of the error that a library raises: on some of them others decide whether this is being offline. */
const CLASSES = `
import importlib, sys
library = importlib.import_module(sys.argv[1])
try:
    library.get("https://huggingface.co/api/models/x")
except Exception as error:
    print(*[each.__name__ for each in type(error).__mro__])
`;

/** A cache with one model. @returns its folder, and that of the model's snapshot. */
function cache(): [cache: string, snapshot: string] {
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-hub-'));
  const hash = '0123456789abcdef0123456789abcdef01234567';
  const model = join(folder, 'models--Systran--faster-whisper-tiny');
  const snapshot = join(model, 'snapshots', hash);
  for (const each of [join(model, 'refs'), snapshot]) mkdirSync(each, { recursive: true });
  writeFileSync(join(model, 'refs/main'), hash);
  writeFileSync(join(snapshot, 'config.json'), '{}');
  return [folder, snapshot];
}

describe.skipIf(noNamespaces)(
  'with nothing allowed and no proxy variables, whisper is offline (needs root, iproute2, python3)',
  { timeout: 60_000 },
  () => {
    let place: WhisperPlace;
    beforeAll(async () => {
      place = new WhisperPlace();
      await place.start({});
    });
    afterAll(() => place.remove());

    test('no name is known, of any family, and nothing waits for that', async () => {
      const { stdout } = await place.run([PYTHON, '-c', LOOK_UP, 'huggingface.co']);
      expect(stdout).toBe('unknown\nunknown\nunknown\nfast\n');
    });

    // What huggingface_hub makes of each class: before 1.0 it is requests that it asks, since then httpx.
    describe.each([
      ['requests', 'ConnectionError', ['ProxyError', 'SSLError']],
      ['httpx', 'ConnectError', ['ProxyError']],
    ])('%s (needs it)', (name, offline, refused) => {
      const classes = async (env: Record<string, string>) =>
        (await place.run([PYTHON, '-c', CLASSES, name], env)).stdout.trim().split(' ');

      test.skipIf(!hasModule(name))(`raises ${offline}, as it does offline`, async () => {
        const raised = await classes({});
        expect(raised).toContain(offline);
        for (const each of refused) expect(raised).not.toContain(each);
      });

      test.skipIf(!hasModule(name))('with the variables, raises ProxyError', async () => {
        expect(await classes(VARIABLES)).toContain('ProxyError');
      });
    });

    describe.skipIf(!hasModule('huggingface_hub', 'python3'))('huggingface_hub (needs it)', () => {
      const [folder, snapshot] = cache();
      const script = `from huggingface_hub import snapshot_download; print(snapshot_download("Systran/faster-whisper-tiny", cache_dir=${JSON.stringify(folder)}))`;
      const download = (env: Record<string, string>) => place.run(['python3', '-c', script], env);

      afterAll(() => rmSync(folder, { recursive: true }));

      test('finds what it has cached', async () => {
        expect(await download({})).toMatchObject({ status: 0, stdout: `${snapshot}\n` });
      });

      test('with the variables, only where it is told that it is offline', async () => {
        expect((await download(VARIABLES)).stderr).toContain('ProxyError');
        const told = { ...VARIABLES, HF_HUB_OFFLINE: '1' };
        expect(await download(told)).toMatchObject({ status: 0, stdout: `${snapshot}\n` });
      });
    });
  },
);
