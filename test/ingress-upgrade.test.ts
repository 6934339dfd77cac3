import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { askRaw, open, readUntil, startIngress } from './helpers/ingress.ts';
import { handshake } from './helpers/ingress-websocket.ts';
import { isMissing } from './helpers/tools.ts';
import { readBody, startUpstream } from './helpers/upstream.ts';

const upgrade = (protocol: string, method = 'GET', fields = '') =>
  `${method} //x?y HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n` +
  `Upgrade: ${protocol}\r\nHTTP2-Settings: AAM\r\n${fields}\r\n`;

async function startEcho() {
  const { address } = await startUpstream(async (request, response) => {
    const { upgrade = 'none', 'http2-settings': settings = 'none' } = request.headers;
    await readBody(request);
    response.end(`${request.method} ${request.url} upgrade ${upgrade}, settings ${settings}`);
  });
  return startIngress({ UPSTREAM: address });
}

test.skipIf(isMissing('curl'))('h2c is passed over (needs curl)', async () => {
  const { origin } = await startEcho();
  const env = { PATH: process.env.PATH };
  const { stdout } = await promisify(execFile)('curl', ['-s', '--http2', `${origin}/x`], { env });
  expect(stdout).toBe('GET /x upgrade none, settings none');
});

test.each(['h2c', 'foo/2', 'websocket, h2c', 'TLS/1.0'])('%s is passed over', async (protocol) => {
  const { port } = await startEcho();
  const answer = await askRaw(port, upgrade(protocol));
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toMatch(/\r\nconnection: close\r\n/i);
  expect(answer).toContain('GET //x?y upgrade none, settings none');
});

test.each(['h2c', 'websocket'])(
  '%s with a body is refused, and reaches nobody',
  async (protocol) => {
    let reached = false;
    const { address } = await startUpstream((_request, response) => {
      reached = true;
      response.end();
    });
    const { port } = await startIngress({ UPSTREAM: address });
    const answer = await askRaw(port, `${upgrade(protocol, 'POST', 'Content-Length: 4\r\n')}wave`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*send it without its Upgrade field\.\n$/);
    expect(reached).toBe(false);
  },
);

test('a client that goes away cancels a request that was passed over', async () => {
  let cancelled: boolean | undefined;
  const { address } = await startUpstream((request) => {
    cancelled = false;
    request.socket.once('close', () => {
      cancelled = true;
    });
  });
  const { port } = await startIngress({ UPSTREAM: address });
  const client = open(port);
  client.write(upgrade('h2c'));
  await vi.waitFor(() => expect(cancelled).toBe(false));
  client.destroy();
  await vi.waitFor(() => expect(cancelled).toBe(true));
});

test('a client that stays after its last answer is let go', async () => {
  const { port } = await startEcho();
  const client = open(port);
  client.write(upgrade('h2c'));
  await readUntil(client, 'settings none');
  client.resume();
  const isLetGo = () => {
    client.write('still here');
    expect(client.closed).toBe(true);
  };
  await vi.waitFor(isLetGo, { timeout: 5_000, interval: 100 });
});

test.each(['websocket', 'h2c'])(
  '%s while whisper is down is answered with 502',
  async (protocol) => {
    const { port } = await startIngress({ UPSTREAM: `http://127.0.0.1:${await freePort()}` });
    const head = protocol === 'h2c' ? upgrade(protocol) : handshake();
    const answer = await askRaw(port, head);
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
    expect(answer).toMatch(/\r\nretry-after: 5\r\n/i);
    expect(answer).toMatch(/\r\n\r\nwhisper-proxy: whisper does not listen at .*\n$/);
  },
);
