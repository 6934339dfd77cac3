import { describe, expect, test } from 'vitest';
import { pairs } from '../src/http/headers.ts';
import { ask, askRaw, startIngress } from './helpers/ingress.ts';
import { startCanned, startUpstream } from './helpers/upstream.ts';

/** What reached whisper of a request with these fields. */
async function received(fields: string[], listen = '127.0.0.1:0'): Promise<[string, string][]> {
  const { address } = await startUpstream((request, response) => {
    response.end(JSON.stringify(pairs(request.rawHeaders)));
  });
  const { port } = await startIngress({ UPSTREAM: address, INGRESS_LISTEN: listen });
  const head = fields.map((field) => `${field}\r\n`).join('');
  const answer = await askRaw(port, `GET / HTTP/1.0\r\n${head}\r\n`);
  return JSON.parse(String(Buffer.from(answer.slice(answer.indexOf('\r\n\r\n')), 'latin1')));
}

const named = (all: [string, string][], name: RegExp) =>
  all.filter(([key]) => name.test(key)).map(([key, value]) => `${key.toLowerCase()}: ${value}`);

describe('a request that reaches whisper', () => {
  test('has the Host that the client sent', async () => {
    const all = await received(['Host: WHISPER:7860']);
    expect(named(all, /^host$/i)).toEqual(['host: WHISPER:7860']);
  });

  test('tells who asked for what, and nothing that the client made up', async () => {
    const all = await received([
      'Host: whisper:7860',
      'X-Forwarded-For: 192.0.2.1',
      'X-Forwarded-For: 192.0.2.2',
      'X-FORWARDED-HOST: evil.example',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Port: 443',
      'X-Forwarded-Prefix: /evil',
      'X-Forwarded-Server: evil',
      'X_Forwarded_For: 192.0.2.3',
      'Forwarded: for=192.0.2.4;host=evil.example',
      'X-Real-IP: 192.0.2.5',
    ]);
    expect(named(all, /forwarded|real/i)).toEqual([
      'x-forwarded-for: 127.0.0.1',
      'x-forwarded-host: whisper:7860',
      'x-forwarded-proto: http',
    ]);
  });

  test('tells an IPv4 client by its IPv4 address, on an IPv6 listener too', async () => {
    const all = await received(['Host: x'], '[::]:0');
    expect(named(all, /^x-forwarded-for$/i)).toEqual(['x-forwarded-for: 127.0.0.1']);
  });

  test('tells no address of a client on a unix socket', async () => {
    const { address } = await startUpstream((request, response) => {
      response.end(JSON.stringify(pairs(request.rawHeaders)));
    });
    const socketPath = `/tmp/whisper-proxy-${process.pid}-ingress.sock`;
    await startIngress({ UPSTREAM: address, INGRESS_LISTEN: `unix:${socketPath}` });
    const { body } = await ask('http://whisper/', {
      socketPath,
      headers: { 'x-forwarded-for': '192.0.2.1' },
    });
    expect(named(JSON.parse(String(body)), /forwarded/i)).toEqual([
      'x-forwarded-host: whisper',
      'x-forwarded-proto: http',
    ]);
  });

  test('has no field of the hop before, not even what Connection names', async () => {
    const all = await received([
      'Host: x',
      'Connection: close, X-Secret, X-Forwarded-For, via',
      'X-Secret: 1',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: close',
      'Proxy-Authorization: Basic eA==',
      'TE: trailers',
      'Trailer: X-Sum',
      'Upgrade: h2c',
      'Expect: 100-continue',
      'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
      'Authorization: Bearer x',
      'Cookie: a=1',
      'X-Other: 2',
    ]);
    const names = all.map(([name]) => name.toLowerCase());
    expect(names.filter((name) => name !== 'host')).toEqual([
      ...['authorization', 'cookie', 'x-other'],
      ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'via', 'connection'],
    ]);
    expect(named(all, /^connection$/i)).toEqual(['connection: close']);
  });

  test('has a Host, and what says where it was asked for, even if Connection names them', async () => {
    const all = await received(['Host: x', 'Connection: close, host, x-forwarded-host']);
    expect(named(all, /host$/i)).toEqual(['host: x', 'x-forwarded-host: x']);
  });

  test('keeps what the client sent twice, and names the proxy in Via after those before it', async () => {
    const all = await received(['Host: x', 'Via: 1.0 other', 'Accept: a/b', 'Accept: c/d']);
    expect(named(all, /^accept$/i)).toEqual(['accept: a/b', 'accept: c/d']);
    expect(named(all, /^via$/i)).toEqual([
      'via: 1.0 other',
      expect.stringMatching(/^via: 1\.1 whisper-proxy-[0-9a-f]{8}$/),
    ]);
  });

  test('keeps bytes beyond ASCII', async () => {
    const all = await received(['Host: x', 'X-Name: Bj\xc3\xb8rn']);
    expect(named(all, /^x-name$/i)).toEqual(['x-name: Bj\xc3\xb8rn']);
  });
});

describe('an answer that reaches the client', () => {
  test('has no field of the hop before, none of the proxy itself, none that steers elsewhere', async () => {
    const { address } = await startCanned(
      [
        'HTTP/1.1 200 OK',
        'Connection: close, X-Secret',
        'X-Secret: 1',
        'Keep-Alive: timeout=5',
        'Proxy-Authenticate: Basic',
        'Proxy-Connection: close',
        'Proxy-Status: whisper-proxy; error=destination_ip_prohibited',
        'X-Whisper-Proxy-Reason: client_not_allowed',
        'Trailer: X-Sum',
        'Upgrade: h2c',
        'Alt-Svc: h2="evil.example:443"',
        'Strict-Transport-Security: max-age=1',
        'NEL: {}',
        'Report-To: {}',
        'Reporting-Endpoints: a="https://evil.example/"',
        'Link: <https://evil.example/>; rel=preload',
        'X-Other: 2',
        'Content-Length: 2',
        '',
        'ok',
      ].join('\r\n'),
    );
    const { origin } = await startIngress({ UPSTREAM: address });
    const { headers, body } = await ask(origin);
    expect(String(body)).toBe('ok');
    expect(Object.keys(headers).sort()).toEqual([
      'connection',
      'content-length',
      'date',
      'x-other',
    ]);
    expect(headers.connection).not.toContain('X-Secret');
  });
});
