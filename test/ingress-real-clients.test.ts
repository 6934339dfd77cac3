import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetch } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startIngress } from './helpers/ingress.ts';
import { hasPythonModule, isMissing } from './helpers/tools.ts';
import { readBody, startUpstream } from './helpers/upstream.ts';

const FIXTURES = fileURLToPath(new URL('fixtures/ingress-clients', import.meta.url));
const TIMEOUT_MS = 180_000;

/** What each of them has to print of an upstream that tells method, path and length. */
const EXPECTED = ['/1', '/2']
  .flatMap((path) => [`GET ${path} 0`, `POST ${path} 200000`, `POST ${path} 200000`])
  .map((answer) => `200 ${answer}\n`)
  .join('');

async function startEcho(): Promise<string> {
  const { address } = await startUpstream(async (request, response) => {
    const { length } = await readBody(request);
    response.end(`${request.method} ${request.url} ${length}`);
  });
  return (await startIngress({ UPSTREAM: address })).origin;
}

async function run(program: string, ...args: string[]): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'whisper-proxy-client-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const env = { PATH: process.env.PATH, HOME: home, GOCACHE: join(home, 'go'), GO111MODULE: 'off' };
  const options = { env, cwd: FIXTURES, timeout: TIMEOUT_MS - 10_000 };
  return (await promisify(execFile)(program, args, options)).stdout;
}

describe('a real client is served, uploads and expectations too', () => {
  test.skipIf(isMissing('javac', '-version'))(
    'Java’s HttpClient (needs a JDK)',
    async () => {
      expect(await run('java', 'Client.java', await startEcho())).toBe(EXPECTED);
    },
    TIMEOUT_MS,
  );

  test.skipIf(isMissing('go', 'version'))(
    'Go’s net/http (needs golang-go)',
    async () => {
      expect(await run('go', 'run', 'client.go', await startEcho())).toBe(EXPECTED);
    },
    TIMEOUT_MS,
  );

  for (const library of ['requests', 'httpx', 'aiohttp']) {
    test.skipIf(!hasPythonModule(library))(
      `${library} (needs Debian's python3-${library})`,
      async () => {
        const origin = await startEcho();
        expect(await run('/usr/bin/python3', 'client.py', library, origin)).toBe(EXPECTED);
      },
      TIMEOUT_MS,
    );
  }

  test.skipIf(isMissing('curl'))(
    'curl --http2 with Expect (needs curl)',
    async () => {
      const origin = await startEcho();
      const ask = ['-sS', '--http2', '-H', 'Expect: 100-continue', '--data', 'x'.repeat(2_000)];
      expect(await run('curl', ...ask, `${origin}/1`)).toBe('POST /1 2000');
    },
    TIMEOUT_MS,
  );

  test('undici', async () => {
    const origin = await startEcho();
    for (const path of ['/1', '/2']) {
      const answer = await fetch(origin + path, { method: 'POST', body: Buffer.alloc(200_000) });
      expect(await answer.text()).toBe(`POST ${path} 200000`);
    }
  });
});
