import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'undici';
import { afterAll, describe, expect, test } from 'vitest';
import { startTarget } from './helpers/origin.ts';
import { startProxy } from './helpers/proxy.ts';
import { openTunnel } from './helpers/raw-client.ts';

const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-'));
let count = 0;

afterAll(() => rmSync(folder, { recursive: true }));

/** A proxy that takes commands. */
async function start(env: Record<string, string> = {}) {
  count += 1;
  const socketPath = join(folder, `${count}.sock`);
  const proxy = await startProxy({ CONTROL_SOCKET: socketPath, ...env });
  const send = async (path: string, body: object) => {
    const client = new Client('http://control', { socketPath });
    const answer = await client.request({
      ...{ method: 'POST', path, body: JSON.stringify(body) },
      headers: { 'content-type': 'application/json' },
    });
    const json = (await answer.body.json()) as Record<string, unknown>;
    await client.close();
    return { status: answer.statusCode, ...json };
  };
  return { proxy, socketPath, send };
}

describe('what was allowed for a time', () => {
  test('ends what it let through when it is ended, with EGRESS_ON_RELOAD=end', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const address = `127.0.0.1:${target.port}`;
    const { proxy, send } = await start({ EGRESS_ON_RELOAD: 'end' });
    await send('/allow', { rules: [address], for: '30m' });
    const tunnel = await openTunnel(proxy.port, address);
    await tunnel.send('hello').until('hello');
    expect(await send('/allow/end', { rules: [] })).toMatchObject({ ended: [address] });
    expect(await tunnel.untilEnded()).toBe('ECONNRESET');
    expect(proxy.events('timed_allow_end')).toMatchObject([{ early: true, open_ended: 1 }]);
  });

  test('ends what it let through when its time is over', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const address = `127.0.0.1:${target.port}`;
    const { proxy, send } = await start({ EGRESS_ON_RELOAD: 'end' });
    await send('/allow', { rules: [address], for: '3s' });
    const tunnel = await openTunnel(proxy.port, address);
    expect(await tunnel.untilEnded()).toBe('ECONNRESET');
    expect(proxy.events('timed_allow_end')).toMatchObject([{ open_ended: 1 }]);
  });

  test('lets no more through than its limit', async () => {
    const target = await startTarget();
    const address = `127.0.0.1:${target.port}`;
    const { proxy, send } = await start();
    await send('/allow', { rules: [address], for: '30m', max_upload: '4B' });
    const tunnel = await openTunnel(proxy.port, address);
    await tunnel.send('12345').untilEnded();
    expect(proxy.decisions().at(-1)).toMatchObject({ reason: 'upload_limit' });
  });

  test.each([
    ['/allow', { rules: [], for: '1m' }],
    ['/allow', { rules: ['hf.co'] }],
    ['/allow', { rules: ['hf.co'], for: '25h' }],
    ['/allow', { rules: ['hf.co'], for: '1m', max_upload: '256' }],
    ['/allow', { rules: ['hf.co'], for: '1m', group: 'NONE' }],
    ['/allow', { rules: ['x'.repeat(1_000)], for: '1m' }],
    ['/allow', { rules: Array.from({ length: 101 }, (_, n) => `h${n}.example`), for: '1m' }],
    ['/allow/end', { rules: ['hf.co'] }],
    ['/allow/end', {}],
  ])('%s %j is refused', async (path, body) => {
    const { proxy, send } = await start();
    expect(await send(path, body)).toMatchObject({ status: 400, error: expect.any(String) });
    expect(proxy.events('timed_allow')).toEqual([]);
  });
});
