import { describe, expect, test } from 'vitest';
import { startAnswering, startTarget } from './helpers/origin.ts';
import { startProxy } from './helpers/proxy.ts';
import { ask, connectTo } from './helpers/raw-client.ts';

const REPORT = { EGRESS_MODE: 'report' };

describe('EGRESS_MODE=report', () => {
  test('lets a tunnel through that no rule covers, and says what enforcing would do', async () => {
    const target = await startTarget();
    // The address rule opens loopback; the name has no rule.
    const proxy = await startProxy(
      { ...REPORT, EGRESS_ALLOW: `127.0.0.1:${target.port}` },
      { 'unlisted.test': ['127.0.0.1'] },
    );
    const answer = await ask(proxy.port, connectTo(`unlisted.test:${target.port}`));
    expect(answer.status).toBe(200);
    expect(proxy.decisions()).toMatchObject([
      { level: 'warn', decision: 'would_deny', reason: 'not_allowed', rule: null },
    ]);
  });

  test('lets plain HTTP through as well, and logs its end', async () => {
    const target = await startAnswering('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const proxy = await startProxy(
      { ...REPORT, EGRESS_ALLOW: `127.0.0.1:${target.port}` },
      { 'unlisted.test': ['127.0.0.1'] },
    );
    const url = `http://unlisted.test:${target.port}/`;
    const answer = await ask(proxy.port, `GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(answer.status).toBe(200);
    const [end] = await proxy.ends(1);
    expect(end?.id).toBe(proxy.decisions()[0]?.id);
  });

  test.each([
    ['a deny rule', connectTo('denied.test:443'), 403, 'deny_rule'],
    ['a name with a private address', connectTo('inner.test:443'), 403, 'non_public_address'],
    ['a private address', connectTo('10.0.0.1:443'), 403, 'non_public_address'],
    ['a metadata address', connectTo('169.254.169.254:80'), 403, 'non_public_address'],
    ['a malformed target', connectTo('127.1:443'), 400, 'bad_target'],
    ['a name that is not found', connectTo('nowhere.test:443'), 502, 'dns_error'],
  ])('does not let through: %s', async (_, request, status, reason) => {
    const proxy = await startProxy(
      { ...REPORT, EGRESS_DENY: 'denied.test' },
      { 'denied.test': ['8.8.8.8'], 'inner.test': ['192.168.0.1'] },
    );
    const answer = await ask(proxy.port, request);
    expect(answer.status).toBe(status);
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason }]);
  });
});
