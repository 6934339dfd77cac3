import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FormData, fetch } from 'undici';
import { expect, onTestFinished, test, vi } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { ask, open, readUntil, startIngress } from './helpers/ingress.ts';
import { readRest } from './helpers/ingress-websocket.ts';
import { hasPythonModule } from './helpers/tools.ts';

const FIXTURES = fileURLToPath(new URL('fixtures/ingress-clients', import.meta.url));
const MIB = 2 ** 20;
const TIMEOUT_MS = 120_000;
const hasUvicorn = ['uvicorn', 'fastapi', 'multipart'].every(hasPythonModule);

/** uvicorn, which closes a connection that has been idle for a second, behind ingress. */
async function startUvicorn() {
  const port = await freePort();
  const args = [
    '-m',
    'uvicorn',
    'whisper:app',
    '--port',
    String(port),
    '--timeout-keep-alive',
    '1',
  ];
  const whisper = spawn('/usr/bin/python3', ['-B', ...args], { cwd: FIXTURES, stdio: 'ignore' });
  onTestFinished(() => {
    whisper.kill('SIGKILL');
  });
  const ingress = await startIngress({ UPSTREAM: `http://127.0.0.1:${port}` });
  const isReady = async () => expect((await ask(`${ingress.origin}/ready`)).status).toBe(200);
  await vi.waitFor(isReady, { timeout: 60_000, interval: 200 });
  return { whisper, ...ingress };
}

test.skipIf(!hasUvicorn)(
  'uvicorn with FastAPI: uploads, idle time-outs, early answers, events, an end in the middle (needs Debian’s uvicorn, python3-fastapi and python3-multipart)',
  async () => {
    const { whisper, origin, port } = await startUvicorn();

    const form = new FormData();
    form.append('file', new Blob([Buffer.alloc(5 * MIB)]), 'a.wav');
    const answer = await fetch(`${origin}/transcribe`, { method: 'POST', body: form });
    expect(await answer.json()).toEqual({ size: 5 * MIB });

    // Around the moment at which uvicorn closes what is idle.
    for (const pause of [990, 1_000, 1_010]) {
      await delay(pause);
      expect((await ask(`${origin}/ready`)).status).toBe(200);
    }

    for (const status of [413, 401]) {
      const client = open(port);
      client.write(
        `POST /early/${status} HTTP/1.1\r\nHost: x\r\nContent-Length: ${500 * MIB}\r\n\r\n`,
      );
      const pump = () => {
        if (!client.destroyed) client.write(Buffer.alloc(65_536), (error) => error || pump());
      };
      pump();
      const early = await readUntil(client, `{"status":${status}}`);
      expect(early).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      client.destroy();
    }
    const heldBack = open(port);
    heldBack.write(
      'POST /early/401 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n',
    );
    expect(await readUntil(heldBack, '{"status":401}')).toMatch(/^HTTP\/1\.1 401 /);
    heldBack.destroy();

    expect(String((await ask(`${origin}/events`)).body)).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\n');
    await expect(ask(`${origin}/events?break=1`)).rejects.toThrow();

    const events = open(port);
    events.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n');
    await readUntil(events, 'data: 0');
    whisper.kill('SIGKILL');
    expect(await readRest(events).catch(() => '')).not.toMatch(/\r\n0\r\n\r\n$/);
    expect((await ask(`${origin}/ready`)).status).toBe(502);
  },
  TIMEOUT_MS,
);
