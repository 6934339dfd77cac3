import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { ask, open, readUntil, startIngress } from './helpers/ingress.ts';
import { agreement, handshake } from './helpers/ingress-websocket.ts';
import { readBody, startUpstream } from './helpers/upstream.ts';

const MIB = 2 ** 20;

/** Ingress before a whisper that is down, and a function that starts it. */
async function startDown(holdTimeout: string) {
  const port = await freePort();
  const asked: string[] = [];
  const ingress = await startIngress({
    UPSTREAM: `http://127.0.0.1:${port}`,
    INGRESS_HOLD_TIMEOUT: holdTimeout,
  });
  const comeUp = async () => {
    const { server } = await startUpstream(async (request, response) => {
      asked.push(request.url ?? '');
      response.end(`${(await readBody(request)).length} bytes`);
    }, port);
    server.on('upgrade', (request, socket) => {
      socket.on('error', () => undefined);
      socket.write(agreement(`sec-websocket-key: ${request.headers['sec-websocket-key']}`));
    });
  };
  return { ...ingress, asked, comeUp };
}

describe('INGRESS_HOLD_TIMEOUT', () => {
  test('lets requests wait until whisper is back: uploads and WebSockets too', async () => {
    const { origin, port, comeUp } = await startDown('60s');
    const answers = Promise.all([
      ask(origin),
      ask(origin, { method: 'POST' }, Buffer.alloc(20 * MIB)),
      ask(origin, { method: 'POST', headers: { expect: '100-continue' } }, 'wave'),
    ]);
    const socket = open(port);
    socket.write(handshake());
    await delay(600);
    await comeUp();
    expect((await answers).map(({ status, body }) => [status, String(body)])).toEqual([
      [200, '0 bytes'],
      [200, `${20 * MIB} bytes`],
      [200, '4 bytes'],
    ]);
    expect(await readUntil(socket, '\r\n\r\n')).toMatch(/^HTTP\/1\.1 101 /);
  });

  test('ends with the answer that there would have been at once', async () => {
    const { origin } = await startDown('700ms');
    const since = performance.now();
    const { status, headers } = await ask(origin, { method: 'POST' }, 'wave');
    expect([status, headers['retry-after']]).toEqual([502, '5']);
    expect(performance.now() - since).toBeGreaterThan(690);
  });

  test('does not read the body meanwhile', async () => {
    const { port } = await startDown('60s');
    const client = open(port);
    client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${500 * MIB}\r\n\r\n`);
    const isTaken = () =>
      Promise.race([
        new Promise<boolean>((resolve) => client.write(Buffer.alloc(MIB), () => resolve(true))),
        delay(500, false),
      ]);
    let taken = 0;
    while (await isTaken()) taken += 1;
    expect(taken).toBeLessThan(20);
  });

  test('drops a request whose client goes away', async () => {
    const { port, asked, comeUp, origin } = await startDown('60s');
    const request = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nwave`;
    const clients = [open(port), open(port), open(port)];
    clients.forEach((client, index) => void client.resume().write(request(`/gone${index}`)));
    await delay(300);
    clients[0]?.end();
    clients[1]?.destroy();
    clients[2]?.resetAndDestroy();
    await delay(2_000);
    await comeUp();
    expect((await ask(`${origin}/stays`)).status).toBe(200);
    await delay(600);
    expect(asked).toEqual(['/stays']);
  });

  test('drops one that is reset while its body is not read', async () => {
    const { port, asked, comeUp, origin } = await startDown('60s');
    const client = open(port);
    client.write(`POST /gone HTTP/1.1\r\nHost: x\r\nContent-Length: ${9 * MIB}\r\n\r\n`);
    client.write(Buffer.alloc(MIB));
    await delay(300);
    client.resetAndDestroy();
    await delay(3_000);
    await comeUp();
    expect((await ask(`${origin}/stays`)).status).toBe(200);
    await delay(600);
    expect(asked).toEqual(['/stays']);
  });

  test('is for 64 requests at a time', async () => {
    const { port, origin } = await startDown('60s');
    const held = Array.from({ length: 64 }, () => open(port));
    for (const client of held) client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect
      .poll(
        async () => {
          const late = ask(origin, { signal: AbortSignal.timeout(3_000) });
          return late.then(({ status }) => status).catch(() => null);
        },
        { timeout: 60_000 },
      )
      .toBe(502);
  });

  test('is off by default', async () => {
    const { origin } = await startIngress({ UPSTREAM: `http://127.0.0.1:${await freePort()}` });
    const since = performance.now();
    expect((await ask(origin)).status).toBe(502);
    expect(performance.now() - since).toBeLessThan(5_000);
  });
});
