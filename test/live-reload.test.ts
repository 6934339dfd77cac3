import { describe, expect, test } from 'vitest';
import { startTarget } from './helpers/origin.ts';
import { soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel } from './helpers/raw-client.ts';

const get = (port: number, host: string) =>
  `GET http://${host}:${port}/ HTTP/1.1\r\nHost: a\r\n\r\n`;

describe('after a reload', () => {
  test('new connections follow the new rules, and a rule that is deleted is gone', async () => {
    const target = await startTarget((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'));
    const { port } = target;
    const local = `127.0.0.1:${port}`;
    const names = { 'a.test': ['127.0.0.1'], 'b.test': ['127.0.0.1'] };
    const proxy = await startProxy({ EGRESS_ALLOW: `a.test:${port} ${local}` }, names);
    const statuses = async () => [
      (await ask(proxy.port, get(port, 'a.test'))).status,
      (await ask(proxy.port, get(port, 'b.test'))).status,
    ];
    expect(await statuses()).toEqual([204, 403]);
    proxy.reload({ EGRESS_ALLOW: `b.test:${port} ${local}` });
    expect(await statuses()).toEqual([403, 204]);
    proxy.reload({});
    expect(await statuses()).toEqual([403, 403]);
    expect(proxy.events('reload')).toMatchObject([
      { added: [`allow b.test:${port}`], removed: [`allow a.test:${port}`] },
      { added: [], removed: [`allow b.test:${port}`, `allow ${local}`] },
    ]);
  });

  test('a decision tells the configuration that it was made under', async () => {
    const proxy = await startProxy({ EGRESS_ALLOW: 'a.test' });
    await ask(proxy.port, connectTo('x.test:443'));
    proxy.reload({ EGRESS_ALLOW: 'a.test b.test' });
    await ask(proxy.port, connectTo('y.test:443'));
    proxy.reload({ EGRESS_ALLOW: 'a.test' });
    await ask(proxy.port, connectTo('z.test:443'));
    const [before, during, after] = proxy.decisions().map(({ config }) => config);
    expect(before).toMatch(/^[0-9a-f]{8}$/);
    expect(during).not.toBe(before);
    expect(after).toBe(before);
    expect(proxy.events('reload').map(({ config }) => config)).toEqual([during, after]);
  });

  test('mode and limits are those of the new configuration', async () => {
    const target = await startTarget();
    const { port } = target;
    const env = { EGRESS_ALLOW: `127.0.0.1:${port}` };
    const proxy = await startProxy(env, { 'other.test': ['127.0.0.1'] });
    const other = connectTo(`other.test:${port}`);
    expect((await ask(proxy.port, other)).status).toBe(403);
    proxy.reload({ ...env, EGRESS_MODE: 'report', EGRESS_MAX_UPLOAD: '4B' });
    const client = await openTunnel(proxy.port, `other.test:${port}`);
    await client.send('12345').untilEnded();
    proxy.reload({ ...env, EGRESS_MAX_CONNECTIONS: '1' });
    const first = await openTunnel(proxy.port, `127.0.0.1:${port}`);
    const second = await ask(proxy.port, connectTo(`127.0.0.1:${port}`));
    expect(second.headers.get('x-whisper-proxy-reason')).toBe('too_many_connections');
    first.socket.destroy();
    expect(proxy.decisions().map(({ decision, reason }) => `${decision} ${reason}`)).toEqual([
      'deny not_allowed',
      'would_deny not_allowed',
      'deny upload_limit',
      'allow null',
      'deny too_many_connections',
    ]);
  });

  test('repeats are not folded over a change of the rules', async () => {
    const proxy = await startProxy({ EGRESS_ALLOW: 'a.test' });
    await ask(proxy.port, connectTo('x.test:443'));
    proxy.reload({ EGRESS_ALLOW: 'b.test' });
    await ask(proxy.port, connectTo('x.test:443'));
    const [first, second] = proxy.decisions().map(({ config }) => config);
    expect(second).toBeDefined();
    expect(second).not.toBe(first);
  });

  test('the log has the level of the new configuration, and the reload itself whatever that is', async () => {
    const proxy = await startProxy({ ADMIN_TOKEN: 'one' });
    proxy.reload({ ADMIN_TOKEN: 'two', LOG_LEVEL: 'error' });
    expect(proxy.events('reload')).toHaveLength(1);
    expect(proxy.texts.join('')).not.toContain('at the next start');
    await ask(proxy.port, connectTo('x.test:443'));
    expect(proxy.decisions()).toHaveLength(1);
    proxy.reload({ ADMIN_TOKEN: 'three', LOG_LEVEL: 'warn' });
    expect(proxy.texts.join('')).toContain('at the next start');
  });

  test('report mode warns at once', async () => {
    const proxy = await startProxy();
    proxy.reload({ EGRESS_MODE: 'report' });
    expect(proxy.texts.at(-1)).toContain('EGRESS_MODE=report');
  });

  test('metrics tell when it was', async () => {
    const proxy = await startProxy();
    const read = async () => {
      const text = await (await fetch(`http://127.0.0.1:${proxy.ports.admin}/metrics`)).text();
      return Number(
        /^whisper_proxy_config_last_reload_success_timestamp_seconds (\S+)$/m.exec(text)?.[1],
      );
    };
    const before = await read();
    await new Promise((resolve) => setTimeout(resolve, 20));
    proxy.reload({});
    expect(await read()).toBeGreaterThan(before);
  });

  test('what was allowed is logged, or no longer', async () => {
    const target = await startTarget((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'));
    const proxy = await startProxyTo(target.port, { LOG_ALLOWED: 'false' });
    const allowed = { EGRESS_ALLOW: `origin.test:${target.port} 127.0.0.1:${target.port}` };
    await ask(proxy.port, get(target.port, 'origin.test'));
    expect(proxy.decisions()).toEqual([]);
    proxy.reload({ ...allowed, LOG_ALLOWED: 'true' });
    await ask(proxy.port, get(target.port, 'origin.test'));
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow' }]);
  });

  test('variables that are read at the start alone are named, and not their values', async () => {
    const proxy = await startProxy({ ADMIN_TOKEN: 'one' });
    proxy.reload({ ADMIN_TOKEN: 'other', EGRESS_IDLE_TIMEOUT: '1s' });
    const late = proxy.texts.find((text) => text.includes('at the next start')) ?? '';
    expect(JSON.parse(late)).toMatchObject({ variables: ['ADMIN_TOKEN', 'EGRESS_IDLE_TIMEOUT'] });
    expect(late).not.toContain('other');
  });

  test('an attempt that was under way is judged by the new rules', async () => {
    const target = await startTarget();
    let answer: (addresses: string[]) => void = () => undefined;
    const slow = () =>
      new Promise<string[]>((resolve) => {
        answer = resolve;
      });
    const proxy = await startProxyTo(target.port, {}, { 'origin.test': slow });
    const asked = ask(proxy.port, connectTo(`origin.test:${target.port}`));
    await soon(() => expect(proxy.lookups).toHaveLength(1));
    proxy.reload({ EGRESS_ALLOW: `127.0.0.1:${target.port}` });
    answer(['127.0.0.1']);
    expect((await asked).status).toBe(403);
    expect(target.sockets).toEqual([]);
  });
});

describe('an open connection that the new rules deny', () => {
  test('stays, and is counted', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    proxy.reload({ EGRESS_DENY: 'origin.test' });
    await client.send('still there').until('still there');
    expect(proxy.events('reload')).toMatchObject([{ open_denied_now: 1, open_ended: 0 }]);
  });

  test('ends with EGRESS_ON_RELOAD=end, and no other does', async () => {
    const target = await startTarget((socket) => socket.pipe(socket));
    const { port } = target;
    const local = `127.0.0.1:${port}`;
    const names = { 'a.test': ['127.0.0.1'], 'b.test': ['127.0.0.1'] };
    const proxy = await startProxy(
      { EGRESS_ALLOW: `a.test:${port} b.test:${port} ${local}` },
      names,
    );
    const a = await openTunnel(proxy.port, `a.test:${port}`);
    const b = await openTunnel(proxy.port, `b.test:${port}`);
    const rest = { EGRESS_ALLOW: `b.test:${port} ${local}`, EGRESS_ON_RELOAD: 'end' };
    proxy.reload({ ...rest, EGRESS_DENY_BAD: 'a.test' });
    expect(await a.untilEnded()).toBe('ECONNRESET');
    await b.send('still there').until('still there');
    expect(proxy.events('reload')).toMatchObject([{ open_denied_now: 1, open_ended: 1 }]);
    const [end] = await proxy.ends(1);
    const [{ config } = {}] = proxy.events('reload');
    expect(proxy.decisions()[2]).toMatchObject({
      ...{ decision: 'deny', reason: 'deny_rule', rule: 'BAD a.test', id: end?.id, config },
    });
  });

  test('ends where the address that it goes to is denied', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    proxy.reload({ EGRESS_ALLOW: `origin.test:${target.port}`, EGRESS_ON_RELOAD: 'end' });
    await client.untilEnded();
    expect(proxy.decisions()[1]).toMatchObject({ reason: 'non_public_address' });
  });
});

const SLOW = { EGRESS_CONNECT_TIMEOUT: '3s' };

test.each<[what: string, files: Record<string, string>[], changed: string[], nextStart: string[]]>([
  ['nothing', [{}], [], []],
  ['a rule, which is told by itself', [{ EGRESS_ALLOW_A: 'a.test' }], [], []],
  ['a limit of all', [{ EGRESS_MAX_UPLOAD: '1MiB' }], ['EGRESS_MAX_UPLOAD'], []],
  [
    'the limit of a group',
    [{ EGRESS_ALLOW_A: 'a.test', EGRESS_MAX_UPLOAD_A: '1MiB' }],
    ['EGRESS_MAX_UPLOAD_A'],
    [],
  ],
  [
    'the log and the mode',
    [{ LOG_LEVEL: 'warn', EGRESS_MODE: 'report' }],
    ['EGRESS_MODE', 'LOG_LEVEL'],
    [],
  ],
  ['one that is taken back', [{ LOG_LEVEL: 'warn' }, {}], ['LOG_LEVEL'], []],
  ['what a start alone reads', [SLOW], [], ['EGRESS_CONNECT_TIMEOUT']],
  ['that, for as long as it is pending', [SLOW, SLOW], [], ['EGRESS_CONNECT_TIMEOUT']],
  ['that, until it is as it was at the start', [SLOW, {}], [], []],
])('a reload tells %s', async (_, files, changed, nextStart) => {
  const proxy = await startProxy();
  const told = files.map((file) => proxy.reload(file));
  expect(told.at(-1)).toMatchObject({ changed, next_start: nextStart });
});
