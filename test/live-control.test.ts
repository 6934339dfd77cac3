import { linkSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'undici';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { endToEnd } from '../src/http/headers.ts';
import { CONTROL_HEADERS } from '../src/live/orders.ts';
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
      headers: { 'content-type': 'application/json', ...CONTROL_HEADERS },
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

describe('what comes through ingress', () => {
  /** Sends bytes to a socket, and gives what comes back until it ends. */
  const exchange = (where: string | number, text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = typeof where === 'number' ? connect(where, '127.0.0.1') : connect(where);
      let received = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        received += chunk;
      });
      socket.once('error', reject).once('close', () => resolve(received));
      socket.write(text, 'latin1');
    });

  const MARKS = [
    'X-Whisper-Proxy-Control: operator\r\n',
    'x-whisper-proxy-control: operator\r\nX-WHISPER-PROXY-CONTROL: operator\r\n',
    'X-Whisper-Proxy-Control: operator\r\nConnection: Via, X-Forwarded-For\r\n',
    'X_Whisper_Proxy_Control: operator\r\n',
    '',
  ];
  const ORDER = '{"rules":["hf.co"],"for":"1m"}';
  const REQUESTS = [
    (fields: string) =>
      `POST /allow HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${ORDER.length}\r\n${fields}Connection: close\r\n\r\n${ORDER}`,
    (fields: string) => `POST /reload HTTP/1.1\r\nHost: a\r\n${fields}Connection: close\r\n\r\n`,
    (fields: string) => `GET /healthz HTTP/1.1\r\nHost: a\r\n${fields}Connection: close\r\n\r\n`,
    (fields: string) => `GET /events HTTP/1.1\r\nHost: a\r\n${fields}Connection: close\r\n\r\n`,
    (fields: string) =>
      `GET /decisions HTTP/1.1\r\nHost: a\r\n${fields}Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    (fields: string) =>
      `GET /healthz HTTP/1.1\r\nHost: a\r\n${fields}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
  ];

  test.each([
    ['a symbolic link', symlinkSync],
    ['a hard link', linkSync],
  ])(
    'is no command where whisper put %s to the control socket in its place',
    async (_what, link) => {
      for (const listen of ['127.0.0.1:0', `unix:${join(folder, `ingress-${link.name}.sock`)}`]) {
        const upstream = join(folder, `${link.name}-${listen.slice(0, 4)}.sock`);
        const { proxy, socketPath } = await start({
          ...{ UPSTREAM: `unix:${upstream}`, INGRESS_LISTEN: listen },
        });
        link(socketPath, upstream);
        const ingress = listen.startsWith('unix:') ? listen.slice(5) : proxy.ports.ingress;
        for (const fields of MARKS) {
          for (const request of REQUESTS) {
            expect(await exchange(ingress, request(fields))).toMatch(/^HTTP\/1\.1 403 /);
          }
        }
        expect(proxy.events('timed_allow')).toEqual([]);
        expect(proxy.events('reload')).toEqual([]);
        await proxy.stop();
      }
    },
  );

  test.each([
    ['no mark', ''],
    ['another mark', 'X-Whisper-Proxy-Control: 1\r\n'],
    ['Via', 'X-Whisper-Proxy-Control: operator\r\nVia: 1.1 x\r\n'],
    ['Forwarded', 'X-Whisper-Proxy-Control: operator\r\nForwarded: for=x\r\n'],
    ['X-Forwarded-For', 'X-Whisper-Proxy-Control: operator\r\nX-Forwarded-For: x\r\n'],
    ['X-Forwarded-Proto', 'X-Whisper-Proxy-Control: operator\r\nX-Forwarded-Proto: x\r\n'],
    ['X-Real-IP', 'X-Whisper-Proxy-Control: operator\r\nX-Real-IP: x\r\n'],
  ])('is told by %s, reads included', async (_what, fields) => {
    const { socketPath, proxy } = await start();
    for (const request of REQUESTS) {
      expect(await exchange(socketPath, request(`${fields}Connection: close\r\n`))).toMatch(
        /^HTTP\/1\.1 403 /,
      );
    }
    expect(proxy.events('timed_allow')).toEqual([]);
  });

  test('cannot have the mark: neither face of the proxy passes it on', () => {
    const fields = ['X-Whisper-Proxy-Control', 'operator', 'X-WHISPER-PROXY-CONTROL', 'operator'];
    expect(endToEnd([...fields, 'A', 'b'])).toEqual(['A', 'b']);
  });

  test('cannot be led there by the configuration', () => {
    const env = { UPSTREAM: 'unix:/tmp/../tmp/c.sock', CONTROL_SOCKET: '/tmp/c.sock' };
    expect(() => readConfig(env)).toThrow(/CONTROL_SOCKET=.*UPSTREAM is the same socket/);
    const ingress = { UPSTREAM: 'embedded', INGRESS_LISTEN: 'unix:/tmp/c.sock' };
    expect(() => readConfig({ ...ingress, CONTROL_SOCKET: '/tmp/c.sock' })).toThrow(/same socket/);
  });
});
