import { describe, expect, test } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { ask, askRaw, startIngress } from './helpers/ingress.ts';
import { startUpstream } from './helpers/upstream.ts';

describe('ingress is no way out', () => {
  test.each([
    ['GET http://evil.example/', 'http://evil.example/'],
    ['GET HTTP://127.0.0.1:1/x', 'HTTP://127.0.0.1:1/x'],
    ['POST https://evil.example/', 'https://evil.example/'],
    ['GET *', '*'],
    ['OPTIONS **', '**'],
    ['CONNECT evil.example:443', 'evil.example:443'],
    ['CONNECT /x', null],
    ['CONNECT 127.0.0.1:1', '127.0.0.1:1'],
  ])('%s is refused and logged', async (start, host) => {
    let reached = 0;
    const { address } = await startUpstream((_request, response) => {
      reached += 1;
      response.end();
    });
    const { port, lines } = await startIngress({ UPSTREAM: address });
    const answer = await askRaw(
      port,
      `${start} HTTP/1.1\r\nHost: whisper\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(reached).toBe(0);
    if (host === null) return;
    expect(answer).toMatch(/\r\nx-whisper-proxy-reason: bad_target\r\n/i);
    expect(answer).toMatch(/whisper-proxy: this port leads to whisper and nowhere else: .*\n$/);
    const [method] = start.split(' ');
    const via = method === 'CONNECT' ? 'connect' : 'http';
    expect(lines()).toMatchObject([
      { decision: 'deny', reason: 'bad_target', via, method, host, client: '127.0.0.1' },
    ]);
  });

  test('an absolute target of an upgrade is refused', async () => {
    const { port, lines } = await startIngress({ UPSTREAM: 'embedded' });
    const answer = await askRaw(
      port,
      'GET http://evil/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(lines()).toMatchObject([{ reason: 'bad_target', host: 'http://evil/' }]);
  });

  test.each(['GARBAGE', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x', 'GET /\x01 HTTP/1.1'])(
    'what cannot be read is refused and logged (%j)',
    async (head) => {
      const { port, lines } = await startIngress({ UPSTREAM: 'embedded' });
      const answer = await askRaw(port, `${head}\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 400 .*x-whisper-proxy-reason: bad_target/is);
      expect(lines()).toMatchObject([{ reason: 'bad_target', host: null }]);
    },
  );

  test('two Host fields are refused: whisper might believe the other one', async () => {
    const { port, lines } = await startIngress({ UPSTREAM: 'embedded' });
    const head = 'GET /config HTTP/1.1\r\nHost: whisper\r\nHost: evil\r\nConnection: close\r\n\r\n';
    expect(await askRaw(port, head)).toMatch(/^HTTP\/1\.1 400 /);
    expect(lines()).toMatchObject([{ reason: 'bad_target', host: '/config' }]);
  });
});

describe('a loop is refused at its second round', () => {
  const loop = async () => {
    const port = await freePort();
    return startIngress({
      UPSTREAM: `http://127.0.0.1:${port}`,
      INGRESS_LISTEN: `127.0.0.1:${port}`,
    });
  };

  test('of an ordinary request', async () => {
    const { origin, lines } = await loop();
    const { status, body } = await ask(`${origin}/x`, { method: 'POST' }, 'recording');
    expect(status).toBe(508);
    expect(String(body)).toMatch(/Does UPSTREAM point back at it\?\n$/);
    expect(lines()).toMatchObject([{ reason: 'bad_target', host: '/x' }]);
  });

  test('of a WebSocket', async () => {
    const { port, lines } = await loop();
    const answer = await askRaw(
      port,
      'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 508 /);
    expect(lines()).toHaveLength(1);
  });

  test('of two proxies', async () => {
    const port = await freePort();
    const second = await startIngress({ UPSTREAM: `http://127.0.0.1:${port}` });
    const first = await startIngress({
      UPSTREAM: second.origin,
      INGRESS_LISTEN: `127.0.0.1:${port}`,
    });
    expect((await ask(first.origin)).status).toBe(508);
    expect([first.lines().length, second.lines().length]).toEqual([1, 0]);
  });

  test('a chain of two proxies is none', async () => {
    const { address } = await startUpstream((_request, response) => response.end('ok'));
    const inner = await startIngress({ UPSTREAM: address });
    const outer = await startIngress({ UPSTREAM: inner.origin });
    expect(String((await ask(outer.origin)).body)).toBe('ok');
  });
});
