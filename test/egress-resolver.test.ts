import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  type AnswerQuestion,
  type Reply,
  records,
  resolverAsking,
  startDns,
} from './helpers/dns-server.ts';
import { connectionOf, startTarget } from './helpers/origin.ts';
import { startBlackHole } from './helpers/origin-black-hole.ts';
import { failing, type Names, soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';
import { isReserved } from './helpers/tools.ts';

const ALLOW = { EGRESS_ALLOW: 'name.test', EGRESS_CONNECT_TIMEOUT: '2s' };

function askFor(addresses: string[]) {
  return startProxy(ALLOW, { 'name.test': addresses });
}

describe('a name whose answer has an address that is not public is denied', () => {
  test.each([
    ['loopback', '127.0.0.1'],
    ['private', '10.0.0.1'],
    ['private', '172.16.0.1'],
    ['private', '192.168.1.1'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['metadata', '169.254.169.254'],
    ['this network', '0.0.0.0'],
    ['protocol assignments', '192.0.0.8'],
    ['documentation', '198.51.100.7'],
    ['benchmarking', '198.18.0.1'],
    ['multicast', '224.0.0.1'],
    ['reserved', '240.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['IPv6 loopback', '::1'],
    ['IPv6 unspecified', '::'],
    ['unique local', 'fd00::1'],
    ['link-local', 'fe80::1'],
    ['IPv6 documentation', '2001:db8::1'],
    ['NAT64 of a private address', '64:ff9b::a00:1'],
    ['NAT64 of metadata', '64:ff9b::a9fe:a9fe'],
    ['local NAT64', '64:ff9b:1::808:808'],
    ['6to4 of loopback', '2002:7f00:1::'],
    ['Teredo', '2001:0:7f00:1::'],
    ['IPv4-mapped, as a resolver may spell it', '::ffff:127.0.0.1'],
    ['IPv4-compatible', '::127.0.0.1'],
  ])('%s: %s', async (_, address) => {
    const proxy = await askFor([address]);
    const answer = await ask(proxy.port, connectTo('name.test:443'));
    expect(answer.status).toBe(403);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('non_public_address');
    // Whoever asks must not learn what inner names resolve to.
    expect(answer.body).not.toContain(address);
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'non_public_address', rule: null, host: 'name.test', address },
    ]);
  });

  test.each([
    ['first', ['10.0.0.1', '8.8.8.8']],
    ['last', ['8.8.8.8', '2606:4700::1111', '10.0.0.1']],
  ])('also when it stands %s among public ones', async (_, addresses) => {
    const proxy = await askFor(addresses);
    expect((await ask(proxy.port, connectTo('name.test:443'))).status).toBe(403);
    expect(proxy.decisions()).toMatchObject([{ reason: 'non_public_address' }]);
  });

  test('also by plain HTTP', async () => {
    const proxy = await startProxy({ EGRESS_ALLOW: 'name.test:80' }, { 'name.test': ['10.0.0.1'] });
    const answer = await ask(proxy.port, 'GET http://name.test/ HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(answer.status).toBe(403);
    expect(answer.headers.get('proxy-status')).toContain('error=destination_ip_prohibited');
  });

  test('with the rule of a deny list that covers the address', async () => {
    const env = { ...ALLOW, EGRESS_DENY_OWN: '8.8.8.0/24' };
    const proxy = await startProxy(env, { 'name.test': ['1.1.1.1', '8.8.8.8'] });
    expect((await ask(proxy.port, connectTo('name.test:443'))).status).toBe(403);
    expect(proxy.decisions()).toMatchObject([
      { reason: 'deny_rule', rule: 'OWN 8.8.8.0/24', address: '8.8.8.8' },
    ]);
  });
});

describe('a look-up that brings nothing', () => {
  test.each<[code: string, status: number, answer: Names[string]]>([
    ['ENOTFOUND', 502, failing('ENOTFOUND')],
    ['EAI_AGAIN', 502, failing('EAI_AGAIN')],
    ['ENODATA', 502, []],
    ['UNKNOWN', 502, () => Promise.reject(new Error('no code'))],
  ])('%s gives %i', async (code, status, answer) => {
    const proxy = await startProxy(ALLOW, { 'name.test': answer });
    const { headers, body, ...rest } = await ask(proxy.port, connectTo('name.test:443'));
    expect(rest.status).toBe(status);
    expect(headers.get('proxy-status')).toBe('whisper-proxy; error=dns_error; details="dns_error"');
    expect(body).toContain(code);
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'dns_error', rule: 'name.test', error: code, address: null },
    ]);
  });
});

describe('the address that is dialled', () => {
  test('is the one that was checked: a name is looked up once', async () => {
    const target = await startTarget();
    const trap = await startTarget(undefined, '127.0.0.9');
    const answers = [['127.0.0.1'], ['127.0.0.9'], ['10.0.0.1']];
    const proxy = await startProxyTo(
      target.port,
      {},
      { 'origin.test': async () => answers.shift() ?? [] },
    );
    await openTunnel(proxy.port, `origin.test:${target.port}`);
    expect(proxy.lookups).toEqual(['origin.test']);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow', address: '127.0.0.1' }]);
    // The next attempt is looked up and checked afresh.
    expect((await ask(proxy.port, connectTo(`origin.test:${target.port}`))).status).toBe(403);
    expect(trap.sockets).toHaveLength(0);
  });

  test.each([
    ['IPv6', 'IPv4', ['::1', '127.0.0.1']],
    ['IPv4', 'IPv6', ['127.0.0.1', '::1']],
  ])('is of the other family when %s is dead and %s is not', async (_, family, addresses) => {
    const [dead = '', alive = ''] = addresses;
    const target = await startTarget(undefined, alive);
    const { port } = target;
    const proxy = await startProxy(
      { EGRESS_ALLOW: `name.test:${port} 127.0.0.1:${port} [::1]:${port}` },
      { 'name.test': [dead, alive] },
    );
    await openTunnel(proxy.port, `name.test:${port}`);
    expect((await connectionOf(target)).remoteFamily).toBe(family);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow', address: alive }]);
  });

  test.skipIf(process.platform !== 'linux')(
    'is of the other family when the first does not answer (Linux: a full backlog)',
    async () => {
      const target = await startTarget(undefined, '::1');
      const port = await startBlackHole(target.port);
      const proxy = await startProxy(
        { EGRESS_ALLOW: `name.test:${port} 127.0.0.1:${port} [::1]:${port}` },
        { 'name.test': ['127.0.0.1', '127.0.0.1', '::1'] },
      );
      await openTunnel(proxy.port, `name.test:${port}`);
      expect(proxy.decisions()).toMatchObject([{ decision: 'allow', address: '::1' }]);
    },
  );

  test('is none when all are dead: 502, and the last error', async () => {
    const proxy = await startProxyTo(1);
    const answer = await ask(proxy.port, connectTo('origin.test:1'));
    expect(answer.status).toBe(502);
    expect(answer.headers.get('proxy-status')).toBe(
      'whisper-proxy; error=connection_refused; details="connect_failed"',
    );
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'connect_failed', error: 'ECONNREFUSED' },
    ]);
  });
});

describe.skipIf(isReserved(53))('slow name servers (port 53 of loopback)', () => {
  const LOOPBACK = (name: string, type: string) =>
    type === 'A' ? records(name, type, '127.0.0.1') : [];

  /** A proxy whose name server says what the test says, and a target that everything resolves to. */
  async function startWith(answer: AnswerQuestion, env: Record<string, string> = {}) {
    const target = await startTarget();
    const dns = await startDns(answer);
    const proxy = await startProxy(
      { EGRESS_ALLOW: `*.names.test:${target.port} 127.0.0.1:${target.port}`, ...env },
      resolverAsking([dns], 'options timeout:5\n').resolve,
    );
    const connect = async (name: string) =>
      (await ask(proxy.port, connectTo(`${name}:${target.port}`))).status;
    return { proxy, dns, connect, port: target.port };
  }

  test('keep eight tunnels to four names waiting once, and each name is looked up once', async () => {
    const names = ['a.names.test', 'b.names.test', 'c.names.test', 'd.names.test'];
    const questions = names.flatMap((name) => [`A ${name}`, `AAAA ${name}`]);
    let answer: () => void = () => undefined;
    const whenTold = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { dns, connect, proxy } = await startWith((name, type) => ({
      answers: LOOPBACK(name, type),
      after: whenTold,
    }));
    const statuses = Promise.all([...names, ...names].map(connect));
    // None has to be answered before another is asked.
    await soon(() => expect(dns.asked.length).toBeGreaterThanOrEqual(questions.length));
    // The other four connections are open by then, and this process is the proxy too.
    await sleep(1_000);
    answer();
    expect(await statuses).toEqual(Array(8).fill(200));
    expect(dns.asked.toSorted()).toEqual(questions.toSorted());
    expect(proxy.lookups.toSorted()).toEqual(names);
  });

  test.each<[what: string, aaaa: Reply]>([
    ['says nothing', null],
    ['fails', { rcode: 'SERVFAIL' }],
    ['lies that there is no such name', { rcode: 'NXDOMAIN' }],
  ])('do not keep a tunnel waiting if IPv6 %s', async (_, aaaa) => {
    const { connect } = await startWith((name, type) =>
      type === 'A' ? { answers: LOOPBACK(name, type) } : aaaa,
    );
    // Else it would be 504, when EGRESS_CONNECT_TIMEOUT is over.
    expect(await connect('a.names.test')).toBe(200);
  });

  test('that come late with an address that is not public do not get it dialled', async () => {
    const { connect, proxy } = await startWith((name, type) =>
      type === 'A'
        ? { answers: LOOPBACK(name, type) }
        : {
            answers: records(name, type, 'fd00::1'),
            after: name === 'late.names.test' ? 1_000 : 0,
          },
    );
    expect(await connect('soon.names.test')).toBe(403);
    expect(await connect('late.names.test')).toBe(200);
    expect(proxy.decisions()).toMatchObject([
      { reason: 'non_public_address', address: 'fd00::1' },
      { decision: 'allow', address: '127.0.0.1' },
    ]);
  });

  test('that never answer for many names do not hold up another name', async () => {
    const { connect, proxy, port } = await startWith((name, type) =>
      name.includes('silent') ? null : { answers: LOOPBACK(name, type) },
    );
    for (let index = 0; index < 100; index += 1) {
      const client = await RawClient.connect(proxy.port);
      client.send(connectTo(`${index}.silent.names.test:${port}`));
    }
    await soon(() => expect(proxy.lookups.length).toBeGreaterThan(60));
    // Before EGRESS_CONNECT_TIMEOUT ends those; with a thread for each it was after that.
    expect(await connect('good.names.test')).toBe(200);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow', host: 'good.names.test' }]);
  });

  test('are left alone as soon as nobody waits for the name any more', async () => {
    const { connect, dns } = await startWith(() => null, { EGRESS_CONNECT_TIMEOUT: '300ms' });
    expect(await connect('a.names.test')).toBe(504);
    const asked = dns.asked.length;
    expect(asked).toBe(2);
    await sleep(6_000);
    expect(dns.asked).toHaveLength(asked);
  });
});
