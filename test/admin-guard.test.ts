import { describe, expect, test } from 'vitest';
import { startProxy } from './helpers/proxy.ts';
import { ask, RawClient } from './helpers/raw-client.ts';

const TOKEN = 'correct-horse+battery/staple';

/** A request line and fields as the admin listener gets them. */
function request(line: string, fields: Record<string, string> = {}): string {
  const all = { Host: '127.0.0.1', ...fields };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

async function startAdmin(env: Record<string, string> = {}): Promise<number> {
  const { ports } = await startProxy(env);
  return ports.admin;
}

/** The cookie that the page's address with the token in it gives. */
async function signIn(port: number): Promise<string> {
  const { headers } = await ask(port, request(`GET /?token=${TOKEN}`));
  return headers.get('set-cookie')?.split(';')[0] ?? '';
}

describe('methods', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE'])(
    '%s is refused',
    async (method) => {
      const admin = await startAdmin();
      const { status, headers, body } = await ask(admin, request(`${method} /healthz`));
      expect(status).toBe(405);
      expect(headers.get('allow')).toBe('GET, HEAD');
      expect(JSON.parse(body)).toEqual({ error: 'this listener only reads: GET and HEAD' });
    },
  );

  test.each(['/', '/page.js', '/healthz'])(
    'HEAD %s has the answer of GET but its body',
    async (path) => {
      const client = await RawClient.connect(await startAdmin());
      client.send(request(`HEAD ${path}`, { Connection: 'close' }));
      await client.untilEnded();
      expect(client.received).toMatch(/^HTTP\/1\.1 200 /);
      expect(client.received).toMatch(/\r\n\r\n$/);
    },
  );

  test('CONNECT gets no answer at all', async () => {
    const client = await RawClient.connect(await startAdmin());
    client.send(request('CONNECT hf.co:443'));
    await client.untilEnded();
    expect(client.received).toBe('');
  });
});

describe('Host', () => {
  test.each([
    '127.0.0.1',
    '127.0.0.1:9090',
    '192.0.2.7:80',
    '[::1]',
    '[::1]:9090',
    'localhost',
    'LocalHost:9090',
    'whisper-proxy',
    'whisper-proxy:9090',
  ])('%s is ours', async (host) => {
    const admin = await startAdmin();
    expect((await ask(admin, request('GET /healthz', { Host: host }))).status).toBe(200);
  });

  test.each([
    'evil.example',
    'evil.example:9090',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    'localhost.',
    'whisper-proxy.evil.example',
    'whisper',
    'localhost:',
    '',
  ])('"%s" is not: its owner could have pointed it here', async (host) => {
    const admin = await startAdmin();
    const { status, body } = await ask(admin, request('GET /healthz', { Host: host }));
    expect(status).toBe(421);
    expect(JSON.parse(body).error).toMatch(
      /^this listener answers under an IP address, localhost /,
    );
  });

  test.each([
    ['two of them', 'Host: 127.0.0.1\r\nHost: evil.example'],
    ['the same twice', 'Host: 127.0.0.1\r\nhost: 127.0.0.1'],
    [
      'two of them, the second behind 2000 fields',
      `Host: 127.0.0.1\r\n${'a:\r\n'.repeat(2000)}Host: b`,
    ],
    ['none', 'X: 1'],
    ...[
      ...['evil.example@localhost', 'localhost@evil.example', 'localhost:9090:9090', 'localhost/'],
      ...['[::1', '::1', '[evil.example]', '0x7f000001', '2130706433', '127.1', 'localhost evil'],
      ...['localhost,evil.example', '127.0.0.1, evil.example', 'http://localhost', 'localhost:x'],
    ].map((host) => [host, `Host: ${host}`]),
  ])('%s is malformed', async (_, fields) => {
    const admin = await startAdmin();
    const { status, body } = await ask(admin, `GET /healthz HTTP/1.1\r\n${fields}\r\n\r\n`);
    expect(status).toBe(400);
    expect(body).not.toContain('upstream');
  });

  test('HTTP/1.0 may come without, and is told which ones are ours', async () => {
    expect((await ask(await startAdmin(), 'GET /healthz HTTP/1.0\r\n\r\n')).status).toBe(421);
  });

  test('a token does not make up for it', async () => {
    const admin = await startAdmin({ ADMIN_TOKEN: TOKEN });
    const fields = { Host: 'evil.example', Authorization: `Bearer ${TOKEN}` };
    expect((await ask(admin, request('GET /healthz', fields))).status).toBe(421);
    const { status, headers } = await ask(
      admin,
      request(`GET /?token=${TOKEN}`, { Host: 'evil.example' }),
    );
    expect([status, headers.get('set-cookie')]).toEqual([421, undefined]);
  });
});

describe('who asks', () => {
  test.each([
    ['no browser', {}],
    ['the page itself', { Origin: 'http://127.0.0.1:9090', 'Sec-Fetch-Site': 'same-origin' }],
    ['the page behind TLS', { Origin: 'https://127.0.0.1:9090' }],
    ['the address bar', { 'Sec-Fetch-Site': 'none' }],
  ])('%s is answered', async (_who, fields) => {
    const admin = await startAdmin();
    const { status } = await ask(
      admin,
      request('GET /healthz', { Host: '127.0.0.1:9090', ...fields }),
    );
    expect(status).toBe(200);
  });

  test.each<[string, Record<string, string>]>([
    ['another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['another port of this host', { 'Sec-Fetch-Site': 'same-site' }],
    ['a site of that origin', { Origin: 'https://evil.example' }],
    ['an origin of another port', { Origin: 'http://127.0.0.1:3000' }],
    ['an origin of another name', { Origin: 'http://localhost:9090' }],
    ['an origin that begins alike', { Origin: 'http://127.0.0.1:90909' }],
    ['a sandbox', { Origin: 'null' }],
    ['an empty origin', { Origin: '' }],
    ['nobody that is known', { 'Sec-Fetch-Site': 'perhaps' }],
  ])('%s is refused', async (_who, fields) => {
    const admin = await startAdmin();
    const { status, body } = await ask(
      admin,
      request('GET /healthz', { Host: '127.0.0.1:9090', ...fields }),
    );
    expect(status).toBe(403);
    expect(JSON.parse(body)).toEqual({ error: 'this listener answers no page but its own' });
  });
});

describe('ADMIN_TOKEN', () => {
  const env = { ADMIN_TOKEN: TOKEN };

  test.each(['/', '/page.js', '/healthz', '/decisions', '/events', '/no/such/path'])(
    'without it %s is closed',
    async (path) => {
      const { status, headers, body } = await ask(await startAdmin(env), request(`GET ${path}`));
      expect(status).toBe(401);
      expect(headers.get('www-authenticate')).toBe('Bearer');
      expect(JSON.parse(body).error).toMatch(/^this needs ADMIN_TOKEN/);
    },
  );

  test('a browser that opens the page without it gets a form, and what that is made of', async () => {
    const admin = await startAdmin(env);
    for (const path of ['/', '/?token=wrong']) {
      const page = await ask(admin, request(`GET ${path}`, { Accept: 'text/html,*/*;q=0.8' }));
      expect(page.status).toBe(401);
      expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
      expect(page.body).toContain('<input id="token" type="password"');
      expect(page.body).not.toMatch(/token=.*wrong/);
    }
    for (const path of ['/login.js', '/page.css', '/parts.css']) {
      expect((await ask(admin, request(`GET ${path}`))).status).toBe(200);
    }
    for (const path of ['/index.html', '/login', '/healthz', '/login.js?x', '/page.js']) {
      const closed = await ask(admin, request(`GET ${path}`, { Accept: 'text/html' }));
      expect(closed.status).toBe(401);
      expect(JSON.parse(closed.body).error).toMatch(/^this needs ADMIN_TOKEN/);
    }
  });

  test('the form gets a cookie for the token, and for nothing else', async () => {
    const admin = await startAdmin(env);
    const login = (fields: Record<string, string>) => ask(admin, request('GET /login', fields));
    const { status, headers } = await login({ Authorization: `Bearer ${TOKEN}` });
    expect(status).toBe(204);
    expect(headers.get('set-cookie')).toMatch(
      /^whisper-proxy=[0-9a-f]{64}; HttpOnly; SameSite=Strict; Path=\/$/,
    );
    for (const fields of [
      {},
      { Authorization: 'Bearer x' },
      { Cookie: `whisper-proxy=${TOKEN}` },
    ]) {
      const refused = await login(fields);
      expect([refused.status, refused.headers.get('set-cookie')]).toEqual([401, undefined]);
    }
    const elsewhere = { Authorization: `Bearer ${TOKEN}`, Origin: 'https://evil.example' };
    expect((await login(elsewhere)).status).toBe(403);
  });

  test.each<[string, string, Record<string, string>, number]>([
    ['as a Bearer token', '/healthz', { Authorization: `Bearer ${TOKEN}` }, 200],
    ['as a bearer token', '/healthz', { Authorization: `bearer ${TOKEN}` }, 200],
    ['too short', '/healthz', { Authorization: `Bearer ${TOKEN.slice(1)}` }, 401],
    ['too long', '/healthz', { Authorization: `Bearer ${TOKEN}x` }, 401],
    ['in other letters', '/healthz', { Authorization: `Bearer ${TOKEN.toUpperCase()}` }, 401],
    ['as Basic', '/healthz', { Authorization: `Basic ${btoa(`admin:${TOKEN}`)}` }, 401],
    ['bare', '/healthz', { Authorization: TOKEN }, 401],
    ['empty', '/healthz', { Authorization: 'Bearer ' }, 401],
    ['as the cookie', '/healthz', { Cookie: `whisper-proxy=${TOKEN}` }, 401],
    ['in the URL of another path', `/healthz?token=${TOKEN}`, {}, 401],
    ['in the URL, another one', '/?token=x', {}, 401],
    ['in the URL, empty', '/?token=', {}, 401],
    [
      'in the URL, another one, beside the right one',
      '/?token=x',
      { Authorization: `Bearer ${TOKEN}` },
      401,
    ],
  ])('%s', async (_how, path, fields, status) => {
    const admin = await startAdmin(env);
    expect((await ask(admin, request(`GET ${path}`, fields))).status).toBe(status);
  });

  test('in the URL of the page it becomes a cookie, and leaves the URL', async () => {
    const admin = await startAdmin(env);
    const { status, headers } = await ask(admin, request(`GET /?token=${TOKEN}`));
    expect([status, headers.get('location')]).toEqual([303, '/']);
    expect(headers.get('set-cookie')).toMatch(
      /^whisper-proxy=[0-9a-f]{64}; HttpOnly; SameSite=Strict; Path=\/$/,
    );
    const cookie = await signIn(admin);
    for (const path of ['/', '/healthz']) {
      expect((await ask(admin, request(`GET ${path}`, { Cookie: cookie }))).status).toBe(200);
      const among = { Cookie: `a=b; ${cookie}; c=d` };
      expect((await ask(admin, request(`GET ${path}`, among))).status).toBe(200);
    }
  });

  test.each([
    (cookie: string) => cookie.slice(0, -1),
    (cookie: string) => `${cookie}0`,
    (cookie: string) => `x${cookie}`,
    () => 'whisper-proxy=',
    () => 'whisper-proxy',
  ])('a cookie that is not quite it is refused (%#)', async (change) => {
    const admin = await startAdmin(env);
    const Cookie = change(await signIn(admin));
    expect((await ask(admin, request('GET /healthz', { Cookie }))).status).toBe(401);
  });

  test("another token's cookie is refused", async () => {
    const cookie = await signIn(await startAdmin(env));
    const other = await startAdmin({ ADMIN_TOKEN: `${TOKEN}2` });
    expect((await ask(other, request('GET /', { Cookie: cookie }))).status).toBe(401);
  });

  test('it does not get into the log', async () => {
    const { ports, texts } = await startProxy({ ...env, LOG_LEVEL: 'trace' });
    await signIn(ports.admin);
    await ask(ports.admin, request('GET /?token=wrong'));
    await ask(ports.admin, request('GET /healthz', { Authorization: `Bearer ${TOKEN}` }));
    expect(texts.join('')).not.toContain(TOKEN);
    expect(texts.join('')).not.toMatch(/wrong|[0-9a-f]{64}/);
  });
});

test.each<[string, string, Record<string, string>, number]>([
  ['the page', 'GET /', {}, 200],
  ['its style', 'GET /page.css', {}, 200],
  ['its script', 'GET /page.js', {}, 200],
  ['health', 'GET /healthz', {}, 200],
  ['the decisions', 'GET /decisions', {}, 200],
  ['the stream', 'GET /events', {}, 200],
  ['the token', `GET /?token=${TOKEN}`, {}, 303],
  ['no such path', 'GET /no/such/path', {}, 404],
  ['a path that cannot be read', 'GET /%zz', {}, 400],
  ['no token', 'GET /', { Authorization: '' }, 401],
  ['another method', 'POST /', {}, 405],
  ['another name', 'GET /', { Host: 'evil.example' }, 421],
  ['another origin', 'GET /', { Origin: 'https://evil.example' }, 403],
])('the answer is for its own page alone: %s', async (_what, line, fields, status) => {
  const client = await RawClient.connect(await startAdmin({ ADMIN_TOKEN: TOKEN }));
  client.send(request(line, { Authorization: `Bearer ${TOKEN}`, ...fields }));
  await client.until('\r\n\r\n');
  const head = client.received.slice(0, client.received.indexOf('\r\n\r\n')).toLowerCase();
  expect(head).toContain(`http/1.1 ${status} `);
  for (const field of [
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'x-content-type-options: nosniff',
    'referrer-policy: no-referrer',
    'cross-origin-resource-policy: same-origin',
    'x-frame-options: deny',
    'cache-control: no-store',
  ]) {
    expect(head.split('\r\n').filter((each) => each === field)).toEqual([field]);
  }
  expect(head).not.toContain('access-control-');
});
