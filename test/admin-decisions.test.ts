import { request } from 'undici';
import { expect, test } from 'vitest';
import type { Snapshot } from '../src/report/snapshot.ts';
import { startProxy } from './helpers/proxy.ts';
import { ask, connectTo } from './helpers/raw-client.ts';

test('GET /decisions tells what was decided, not to be kept by anybody', async () => {
  const proxy = await startProxy(
    { EGRESS_ALLOW_MODELS: 'down.test private.test', EGRESS_DENY: 'evil.test' },
    { 'private.test': ['10.1.2.3'] },
  );
  for (const host of ['hf.co', 'hf.co', 'evil.test', 'down.test', 'private.test', '127.0.0.1']) {
    await ask(proxy.port, connectTo(`${host}:${host === '127.0.0.1' ? proxy.ports.admin : 443}`));
  }
  const { headers, body } = await request(`http://127.0.0.1:${proxy.ports.admin}/decisions`);
  const snapshot = (await body.json()) as Snapshot;
  expect(headers['cache-control']).toBe('no-store');
  expect(headers['content-type']).toMatch(/^application\/json/);
  expect(snapshot).toMatchObject({
    config: proxy.decisions()[0]?.config,
    mode: 'enforce',
    rules: [
      { label: 'MODELS down.test', used: 1 },
      { label: 'MODELS private.test', used: 0 },
      { label: 'evil.test', used: 1 },
    ],
  });
  expect(snapshot.minutes).toHaveLength(60);
  const found = snapshot.groups.map(({ host, count, reason, remedy }) => [
    host,
    count,
    reason,
    remedy?.line ?? null,
  ]);
  expect(found.sort()).toEqual([
    ['127.0.0.1', 1, 'non_public_address', null],
    ['down.test', 1, 'dns_error', null],
    ['evil.test', 1, 'deny_rule', null],
    ['hf.co', 2, 'not_allowed', 'EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co'],
    ['private.test', 1, 'non_public_address', 'EGRESS_ALLOW_10_1_2_3=10.1.2.3:443'],
  ]);
});

test('an address that no rule could open says so in the log', async () => {
  const proxy = await startProxy({ EGRESS_ALLOW: '127.0.0.1:*' });
  await ask(proxy.port, connectTo(`127.0.0.1:${proxy.ports.admin}`));
  await ask(proxy.port, connectTo('10.1.2.3:443'));
  const [closed, open] = proxy.decisions();
  expect(closed).toMatchObject({ reason: 'non_public_address', final: true });
  expect(open).toMatchObject({ reason: 'non_public_address' });
  expect(open).not.toHaveProperty('final');
});

test('with LOG_ALLOWED=false what was allowed is remembered all the same', async () => {
  const proxy = await startProxy({
    LOG_ALLOWED: 'false',
    EGRESS_MODE: 'report',
    EGRESS_ALLOW: 'a.test',
  });
  await ask(proxy.port, connectTo('a.test:443'));
  const { body } = await request(`http://127.0.0.1:${proxy.ports.admin}/decisions`);
  expect(((await body.json()) as Snapshot).rules).toMatchObject([{ label: 'a.test', used: 1 }]);
});

test.each(['/decisions', '/events'])(
  '%s needs the token where there is one, and only reads',
  async (path) => {
    const proxy = await startProxy({ ADMIN_TOKEN: 'abc' });
    const url = `http://127.0.0.1:${proxy.ports.admin}${path}`;
    expect((await request(url)).statusCode).toBe(401);
    const headers = { authorization: 'Bearer abc' };
    const { statusCode, body } = await request(url, { headers });
    expect(statusCode).toBe(200);
    body.on('error', () => undefined).destroy();
    for (const method of ['POST', 'PUT', 'DELETE'] as const) {
      expect((await request(url, { method, headers })).statusCode).toBe(405);
    }
  },
);
