import { describe, expect, test } from 'vitest';
import type { RawHeaders } from '../src/http/headers.ts';
import { findForeignRedirect } from '../src/ingress/redirect.ts';
import { ask, askRaw, startIngress } from './helpers/ingress.ts';
import { startCanned } from './helpers/upstream.ts';

function foreign(headers: RawHeaders, host: string | undefined): string | null {
  return findForeignRedirect(headers, [{ scheme: 'http', host }]);
}

const HOST = 'whisper:7860';

describe('a redirect within the origin passes', () => {
  test.each([
    ['Location', ''],
    ['Location', '/'],
    ['Location', '/login?next=/a//b'],
    ['Location', 'login'],
    ['Location', './login'],
    ['Location', '../a/b;c=d'],
    ['Location', '?theme=dark'],
    ['Location', '#top'],
    ['Location', '/file=http://evil/'],
    ['Location', 'http://whisper:7860'],
    ['Location', 'http://whisper:7860/a'],
    ['Location', 'HTTP://WHISPER:7860/a'],
    ['Location', '//whisper:7860/a'],
    ['Location', 'http://whisper:7860?a'],
    ['Refresh', '5'],
    ['Refresh', '0.5'],
    ['Refresh', '0;url=/a'],
    ['Refresh', '0; URL=/a'],
    ['Refresh', "0, url = '/a'"],
    ['Refresh', '0;Url="http://whisper:7860/a"'],
  ])('%s: %s', (name, value) => {
    expect(foreign([name, value], HOST)).toBeNull();
  });

  test('whatever the port that HTTP has by itself', () => {
    expect(foreign(['Location', 'http://whisper/a'], 'whisper:80')).toBeNull();
    expect(foreign(['Location', 'http://whisper:80/a'], 'whisper')).toBeNull();
    expect(foreign(['Location', 'http://[::1]:7860/a'], '[::1]:7860')).toBeNull();
  });
});

describe('a redirect to another origin is found', () => {
  test.each([
    'http://evil',
    'HTTP://evil/',
    '//evil',
    '///evil',
    '////evil',
    '/\\evil',
    '\\\\evil',
    '\\/evil',
    '/\t/evil',
    '\t//evil',
    ' //evil',
    '/\n/evil',
    'ht\ttp://evil',
    'http:evil',
    'http:/evil',
    'http:///evil',
    'http:\\\\evil',
    'http:whisper:7860',
    'https:evil',
    'https://whisper:7860/',
    'https:/a',
    'http://whisper',
    'http://whisper:80/',
    'http://whisper:7861/',
    'http://whisper:7860@evil/',
    'http://user@whisper:7860/',
    'http://evil/@whisper:7860',
    'http://evil#@whisper:7860/',
    'http://evil?@whisper:7860/',
    'http://evil\\@whisper:7860/',
    'http://whisper:7860.evil/',
    'http://whisper.evil:7860/',
    'http://%77hisper:7860/',
    'http://whisper:7860\\.evil/',
    'http://whisper\u3002evil/',
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    'ftp://whisper:7860/',
    'ws://whisper:7860/',
    'evil:7860',
    'x:y',
    '/a b',
    '/\x00',
    '/\x7f',
    '/caf\xe9',
  ])('Location: %s', (value) => {
    expect(foreign(['Location', value], HOST)).toBe(value);
    expect(foreign(['lOCATION', value], HOST)).toBe(value);
  });

  test.each([
    '0;url=http://evil',
    '0; url=http://evil',
    '0;URL=//evil',
    '0,url=http://evil',
    '0 url=http://evil',
    '0;url="http://evil"',
    "0;url='http://evil'",
    '0;url="http://evil',
    '0;url=/a http://evil',
    '5; http://evil',
    '5;http://evil',
    '5;"http://evil"',
    '5;',
    '.5;url=/a',
    '-1;url=/a',
    ';url=http://evil',
    'url=http://evil',
    '0;uRl\t=\thttp://evil',
    '0;url=http:evil',
    '0;url=javascript:alert(1)',
    '0;url=/a, 0;url=//evil',
    '',
  ])('Refresh: %s', (value) => {
    expect(foreign(['Refresh', value], HOST)).toBe(value);
  });

  test('two Locations, even if both are within', () => {
    expect(foreign(['Location', '/a', 'location', '/b'], HOST)).toBe('/a, /b');
  });

  test('every absolute one, where the client named no host or none that is one', () => {
    for (const host of [undefined, '', 'a b', 'whisper:port', 'user@whisper']) {
      expect(foreign(['Location', 'http://whisper/'], host)).toBe('http://whisper/');
    }
  });
});

describe('a foreign redirect through ingress', () => {
  test.each([
    [301, 'Location', 'http://evil.example/'],
    [307, 'Location', '//evil.example/x'],
    [201, 'Location', 'https://evil.example/'],
    [200, 'Refresh', '0;url=http://evil.example/'],
  ])('%d %s: %s', async (status, name, value) => {
    const { address } = await startCanned(
      `HTTP/1.1 ${status} X\r\n${name}: ${value}\r\nX-Secret: 1\r\nContent-Length: 4\r\n\r\nbait`,
    );
    const { origin, lines } = await startIngress({ UPSTREAM: address });
    const answer = await ask(origin, { method: 'POST' }, 'recording');
    expect(answer.status).toBe(502);
    expect(answer.headers).toMatchObject({
      'proxy-status': 'whisper-proxy; error=http_protocol_error; details="foreign_redirect"',
      'x-whisper-proxy-reason': 'foreign_redirect',
    });
    expect(Object.keys(answer.headers)).not.toContain('x-secret');
    expect(answer.headers[name.toLowerCase()]).toBeUndefined();
    expect(String(answer.body)).toBe(
      'whisper-proxy: whisper answered with a redirect to another origin, which is not passed on.\n',
    );
    expect(lines()).toEqual([
      expect.objectContaining({
        level: 'warn',
        event: 'ingress',
        decision: 'deny',
        reason: 'foreign_redirect',
        method: 'POST',
        host: value,
        client: '127.0.0.1',
      }),
    ]);
  });

  test('two Locations that differ in their spelling of the name', async () => {
    const { address } = await startCanned(
      'HTTP/1.1 302 X\r\nLocation: /a\r\nlocation: //evil\r\nContent-Length: 0\r\n\r\n',
    );
    const { origin } = await startIngress({ UPSTREAM: address });
    expect((await ask(origin)).status).toBe(502);
  });

  test('a Location that is continued on the next line', async () => {
    const { address } = await startCanned(
      'HTTP/1.1 302 X\r\nLocation: /a\r\n //evil\r\nContent-Length: 0\r\n\r\n',
    );
    const { origin } = await startIngress({ UPSTREAM: address });
    expect((await ask(origin)).status).toBe(502);
  });

  test('as the answer to a WebSocket handshake', async () => {
    for (const status of [302, 101]) {
      const { address } = await startCanned(
        `HTTP/1.1 ${status} X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nLocation: //evil/\r\n\r\n`,
      );
      const { port, lines } = await startIngress({ UPSTREAM: address });
      const answer = await askRaw(
        port,
        'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      );
      expect(answer).toMatch(/^HTTP\/1\.1 502 /);
      expect(answer).not.toContain('//evil');
      expect(lines()).toMatchObject([{ reason: 'foreign_redirect', host: '//evil/' }]);
    }
  });

  test('one within the origin passes unchanged, absolute or not', async () => {
    for (const location of ['/login', 'http://whisper:7860/login']) {
      const { address } = await startCanned(
        `HTTP/1.1 307 X\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`,
      );
      const { origin } = await startIngress({ UPSTREAM: address });
      const { status, headers } = await ask(origin, { headers: { host: HOST } });
      expect({ status, location: headers.location }).toEqual({ status: 307, location });
    }
  });
});
