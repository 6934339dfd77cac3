import { describe, expect, test } from 'vitest';
import { startAnswering, startTarget } from './helpers/origin.ts';
import { startProxy, type TestProxy } from './helpers/proxy.ts';
import { ask, connectTo, RawClient } from './helpers/raw-client.ts';
import { isReserved } from './helpers/tools.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function start(port: number, env: Record<string, string> = {}): Promise<TestProxy> {
  const allow = `origin.test:${port} 127.0.0.1:${port} origin.test:80 127.0.44.3:80`;
  const names = { 'origin.test': [port === 80 ? '127.0.44.3' : '127.0.0.1'] };
  return startProxy({ EGRESS_HTTP_LISTEN: '127.0.0.1:0', EGRESS_ALLOW: allow, ...env }, names);
}

const get = (host: string, path = '/a?b') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

describe('an allowed host', () => {
  test('is reached by its Host field', async () => {
    const target = await startAnswering(OK);
    const proxy = await start(target.port);
    const answer = await ask(proxy.ports.http, get(`ORIGIN.test.:${target.port}`));
    expect([answer.status, answer.body]).toEqual([200, 'ok']);
    const [request = ''] = target.received;
    expect(request).toContain('GET /a?b HTTP/1.1\r\n');
    expect(request).toContain(`\r\nHost: origin.test:${target.port}\r\n`);
    const [end] = await proxy.ends(1);
    expect(end).toMatchObject({ via: 'transparent_http', bytes_in: OK.length });
    expect(proxy.decisions()).toMatchObject([
      {
        ...{ decision: 'allow', via: 'transparent_http', method: 'GET', id: end?.id },
        ...{ host: 'origin.test', port: target.port, address: '127.0.0.1' },
      },
    ]);
  });

  test.skipIf(isReserved(80))('without a port is port 80 (needs port 80)', async () => {
    const target = await startTarget((socket) => socket.end(OK), '127.0.44.3', 80);
    const proxy = await start(80);
    expect((await ask(proxy.ports.http, get('origin.test'))).status).toBe(200);
    expect(target.received[0]).toContain('\r\nHost: origin.test\r\n');
  });

  test('the absolute-form is taken too, and wins over Host', async () => {
    const target = await startAnswering(OK);
    const proxy = await start(target.port);
    const uri = `http://origin.test:${target.port}/x`;
    expect((await ask(proxy.ports.http, get('evil.test', uri))).status).toBe(200);
    expect(target.received[0]).toContain(`GET /x HTTP/1.1\r\nHost: origin.test:${target.port}\r\n`);
  });

  test('several requests of one connection are decided about one by one', async () => {
    const target = await startAnswering(OK, 'end');
    const proxy = await start(target.port);
    const client = await RawClient.connect(proxy.ports.http);
    const good = get(`origin.test:${target.port}`);
    expect((await client.send(good).answer()).status).toBe(200);
    expect((await client.send(get('evil.test')).answer()).status).toBe(403);
    expect((await client.send(good).answer()).status).toBe(200);
    expect(target.sockets).toHaveLength(2);
  });

  test('takes no more than EGRESS_MAX_UPLOAD', async () => {
    const target = await startAnswering(OK);
    const proxy = await start(target.port, { EGRESS_MAX_UPLOAD: '1KiB' });
    const fields = `Host: origin.test:${target.port}\r\nContent-Length: 2000`;
    const answer = await ask(proxy.ports.http, `POST / HTTP/1.1\r\n${fields}\r\n\r\n`);
    expect(answer.status).toBe(413);
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'upload_limit', via: 'transparent_http' });
  });
});

describe('a refusal', () => {
  test.each<[string, string, number, Record<string, unknown>]>([
    [
      'a host that no rule covers',
      get('evil.test'),
      403,
      { reason: 'not_allowed', host: 'evil.test', port: 80 },
    ],
    [
      'an allowed name on another port',
      get('origin.test:81'),
      403,
      { reason: 'not_allowed', port: 81 },
    ],
    ['an address', get('8.8.8.8'), 403, { reason: 'not_allowed', host: '8.8.8.8' }],
    ['a metadata address', get('169.254.169.254'), 403, { reason: 'non_public_address' }],
    ['a request without Host', 'GET / HTTP/1.0\r\n\r\n', 400, { reason: 'bad_target', host: '/' }],
    ['an empty Host', get(''), 400, { reason: 'bad_target' }],
    [
      'two Host fields',
      'GET / HTTP/1.1\r\nHost: origin.test:80\r\nHost: evil.test\r\n\r\n',
      400,
      { reason: 'bad_target' },
    ],
    ['user information in Host', get('origin.test@evil.test'), 400, { reason: 'bad_target' }],
    ['a list in Host', get('origin.test, evil.test'), 400, { reason: 'bad_target' }],
    ['a path in Host', get('origin.test/x'), 400, { reason: 'bad_target' }],
    ['an empty port in Host', get('origin.test:'), 400, { reason: 'bad_target' }],
    ['an address in another spelling', get('0x7f.1'), 400, { reason: 'bad_target' }],
    ['a fragment in the path', get('origin.test', '/a#b'), 400, { reason: 'bad_target' }],
    ['OPTIONS * without Host', 'OPTIONS * HTTP/1.0\r\n\r\n', 400, { reason: 'bad_target' }],
    ['* of another method', get('origin.test', '*'), 400, { reason: 'bad_target' }],
    ['an https URI', get('origin.test', 'https://origin.test/'), 400, { reason: 'bad_target' }],
    [
      'a tunnel',
      connectTo('origin.test:443'),
      400,
      { reason: 'bad_target', method: 'CONNECT', host: 'origin.test:443' },
    ],
    [
      'an unreadable tunnel',
      'CONNECT a b\r\n\r\n',
      400,
      { reason: 'bad_target', method: 'CONNECT' },
    ],
    ['what is no HTTP', '\x16\x03\x01\0\x05hello', 400, { reason: 'bad_target', method: null }],
  ])('of %s is an answer', async (_, text, status, fields) => {
    const proxy = await start(443);
    const answer = await ask(proxy.ports.http, text);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe(fields.reason);
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', via: 'transparent_http', ...fields },
    ]);
    expect(proxy.lookups).toEqual([]);
  });

  test.each(['http', 'transparent_http'])(
    'of plain HTTP to port 443 of a name, by %s',
    async (via) => {
      const allow = { EGRESS_ALLOW: 'origin.test 127.0.44.3:443' };
      const proxy = await start(443, allow);
      const transparent = via === 'transparent_http';
      const request = transparent ? get('origin.test:443') : get('x', 'http://origin.test:443/');
      const answer = await ask(transparent ? proxy.ports.http : proxy.port, request);
      expect([answer.status, answer.headers.get('x-whisper-proxy-reason')]).toEqual([
        403,
        'no_sni',
      ]);
      expect(answer.body).toContain('EGRESS_REQUIRE_SNI=false');
      expect(proxy.decisions()).toMatchObject([{ reason: 'no_sni', error: 'not_tls', via }]);
      expect(proxy.lookups).toEqual([]);
      const open = await start(443, { ...allow, EGRESS_REQUIRE_SNI: 'false' });
      const through = await ask(transparent ? open.ports.http : open.port, request);
      expect(through.headers.get('x-whisper-proxy-reason')).not.toBe('no_sni');
    },
  );

  test('names the line that would allow it', async () => {
    const proxy = await start(443);
    const { body } = await ask(proxy.ports.http, get('models.test'));
    expect(body).toContain('EGRESS_ALLOW_MODELS_TEST_80=models.test:80');
  });

  test('of a stranger is client_not_allowed', async () => {
    const proxy = await start(443, { EGRESS_CLIENTS: '127.0.0.9' });
    expect((await ask(proxy.ports.http, get('origin.test'))).status).toBe(403);
    expect(proxy.decisions()).toMatchObject([{ reason: 'client_not_allowed' }]);
  });
});

test('the forward proxy takes no origin-form', async () => {
  const proxy = await start(443);
  expect((await ask(proxy.port, get('origin.test'))).status).toBe(400);
});
