import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ResolveError } from '../src/net/resolve.ts';
import type { SystemResolver } from '../src/net/system-resolver.ts';
import {
  type AnswerQuestion,
  type Reply,
  records,
  resolverAsking,
  resolverWith,
  startDns,
} from './helpers/dns-server.ts';
import { soon } from './helpers/proxy.ts';
import { isReserved } from './helpers/tools.ts';

const NAME = 'name.test';
const A = '192.0.2.1';
const AAAA = '2001:db8::1';

/** What becomes of a look-up, and how long it took. */
async function outcomeOf({ resolve }: SystemResolver, name = NAME) {
  const began = performance.now();
  const said = await resolve(name).catch((error: unknown) => {
    if (!(error instanceof ResolveError)) throw error;
    return error.code;
  });
  return { said, ms: performance.now() - began };
}

const none: Reply = { answers: [] };
const nxdomain: Reply = { rcode: 'NXDOMAIN' };
const servfail: Reply = { rcode: 'SERVFAIL' };
const slow = (reply: NonNullable<Reply>, after: number): Reply => ({ ...reply, after });
const four = { answers: records(NAME, 'A', A) };
const six = { answers: records(NAME, 'AAAA', AAAA) };
const byType =
  (a: Reply, aaaa: Reply): AnswerQuestion =>
  (_, type) =>
    type === 'A' ? a : aaaa;

describe.skipIf(isReserved(53))('a name that DNS is asked for (port 53 of loopback)', () => {
  test.each<[what: string, a: Reply, aaaa: Reply, said: string[] | string, least: number]>([
    ['both families at once', four, six, [A, AAAA], 0],
    ['A, and AAAA a little later', four, slow(six, 20), [A, AAAA], 15],
    ['A, and AAAA too late', four, slow(six, 18_000), [A], 45],
    ['A, and AAAA never', four, null, [A], 45],
    ['A never, and AAAA', null, six, [AAAA], 45],
    ['A, and SERVFAIL for AAAA', four, servfail, [A], 0],
    ['SERVFAIL for A, and AAAA', servfail, six, [AAAA], 0],
    ['A, and no AAAA', four, none, [A], 0],
    ['A, and the lie that the name does not exist for AAAA', four, nxdomain, [A], 0],
    ['that lie first, and A later', slow(four, 400), nxdomain, [A], 390],
    ['REFUSED for A, and AAAA later', { rcode: 'REFUSED' }, slow(six, 200), [AAAA], 190],
    ['garbage for A, and AAAA', { raw: Buffer.from('x') }, six, [AAAA], 0],
    ['nothing of either', none, none, 'ENOTFOUND', 0],
    ['NXDOMAIN for both', nxdomain, nxdomain, 'ENOTFOUND', 0],
    ['NXDOMAIN for A, nothing of AAAA', nxdomain, none, 'ENOTFOUND', 0],
    ['SERVFAIL for both', servfail, servfail, 'EAI_AGAIN', 0],
    ['SERVFAIL for A, no AAAA', servfail, none, 'EAI_AGAIN', 0],
    ['REFUSED for both', { rcode: 'REFUSED' }, { rcode: 'REFUSED' }, 'EAI_AGAIN', 0],
    ['NOTIMP for both', { rcode: 'NOTIMP' }, { rcode: 'NOTIMP' }, 'EAI_AGAIN', 0],
    ['FORMERR for both', { rcode: 'FORMERR' }, { rcode: 'FORMERR' }, 'EAI_AGAIN', 0],
  ])('%s', async (_, a, aaaa, said, least) => {
    const resolver = resolverAsking([await startDns(byType(a, aaaa))], 'options timeout:20\n');
    const outcome = await outcomeOf(resolver);
    expect(outcome.said).toEqual(said);
    expect(outcome.ms).toBeGreaterThanOrEqual(least);
    // Nothing was waited for that did not come.
    expect(outcome.ms).toBeLessThan(15_000);
  });

  test.each<[what: string, a: Reply, aaaa: Reply]>([
    ['no word about either', null, null],
    ['NXDOMAIN for A, no word about AAAA', nxdomain, null],
    ['no A, no word about AAAA', none, null],
  ])('%s: both attempts take their time', async (_, a, aaaa) => {
    const dns = await startDns(byType(a, aaaa));
    const { said, ms } = await outcomeOf(resolverAsking([dns]));
    expect(said).toBe('EAI_AGAIN');
    expect(ms).toBeGreaterThan(1_900);
    expect(dns.asked.filter((each) => each === `AAAA ${NAME}`)).toHaveLength(2);
  });

  test('an answer that does not fit into a datagram is fetched by TCP', async () => {
    const many = Array.from({ length: 300 }, (_, index) => `192.0.${index >> 8}.${index & 255}`);
    const answers = records(NAME, 'A', ...many);
    const dns = await startDns(byType({ answers, truncated: true }, none));
    expect((await outcomeOf(resolverAsking([dns]))).said).toEqual(many);
    expect(dns.asked.filter((each) => each === `A ${NAME}`)).toHaveLength(2);
  });

  test('a chain of aliases is followed, one that leads nowhere is no address', async () => {
    const chain = (type: string, ...end: string[]) => [
      { type: 'CNAME' as const, name: NAME, data: 'one.test' },
      { type: 'CNAME' as const, name: 'one.test', data: 'two.test' },
      ...records('two.test', type, ...end),
    ];
    const whole = await startDns((_, type) => ({
      answers: chain(type, ...(type === 'A' ? [A] : [])),
    }));
    expect((await outcomeOf(resolverAsking([whole]))).said).toEqual([A]);
    const cut = await startDns((_, type) => ({ answers: chain(type) }));
    expect((await outcomeOf(resolverAsking([cut]))).said).toBe('ENOTFOUND');
    const circle = await startDns(() => ({ answers: [{ type: 'CNAME', name: NAME, data: NAME }] }));
    expect((await outcomeOf(resolverAsking([circle]))).said).toBe('ENOTFOUND');
  });

  test('addresses are canonical, and each is there once', async () => {
    const answers = records(NAME, 'AAAA', '::ffff:192.0.2.1', '2001:DB8:0::1', AAAA);
    const dns = await startDns(byType(four, { answers }));
    expect((await outcomeOf(resolverAsking([dns]))).said).toEqual([A, AAAA]);
  });

  test.each<[what: string, first: Reply]>([
    ['fails', servfail],
    ['refuses', { rcode: 'REFUSED' }],
    ['is silent', null],
  ])('the next server is asked where one %s', async (_, reply) => {
    const bad = await startDns(() => reply);
    const good = await startDns(byType(four, six));
    expect((await outcomeOf(resolverAsking([bad, good]))).said).toEqual([A, AAAA]);
  });

  test.each<[what: string, first: Reply, said: string]>([
    ['is silent', null, 'EAI_AGAIN'],
    ['fails', servfail, 'EAI_AGAIN'],
    ['says so too', nxdomain, 'ENOTFOUND'],
  ])(
    "that a name does not exist is certain by the first server's word: it %s",
    async (_, reply, said) => {
      const first = await startDns(() => reply);
      const second = await startDns(() => nxdomain);
      expect((await outcomeOf(resolverAsking([first, second]))).said).toBe(said);
    },
  );

  test('no other server is asked where one says that there is no such name', async () => {
    const first = await startDns(() => nxdomain);
    const second = await startDns(byType(four, six));
    expect((await outcomeOf(resolverAsking([first, second]))).said).toBe('ENOTFOUND');
    expect(second.asked).toEqual([]);
  });

  test('a port that nobody listens on is no waiting', async () => {
    const { resolver } = resolverWith({ resolvConf: 'nameserver 127.254.254.254\n' });
    expect(await outcomeOf(resolver)).toMatchObject({
      said: 'EAI_AGAIN',
      ms: expect.closeTo(0, -3),
    });
  });

  test.each<[what: string, conf: string, name: string, asked: string[]]>([
    [
      'one label is looked for in the domains first',
      'search a.test b.test',
      'mongo',
      ['mongo.a.test', 'mongo.b.test', 'mongo'],
    ],
    ['two labels are not', 'search a.test', 'mongo.net', ['mongo.net', 'mongo.net.a.test']],
    [
      'ndots says how many labels',
      'search a.test\noptions ndots:3',
      'x.y.z',
      ['x.y.z.a.test', 'x.y.z'],
    ],
    [
      'the last search counts, domain too',
      'search a.test\ndomain b.test',
      'mongo',
      ['mongo.b.test', 'mongo'],
    ],
    ['the root is a domain', 'search .', 'mongo', ['mongo']],
    ['a name that gets too long is left out', `search ${'a.'.repeat(124)}test`, 'mongo', ['mongo']],
  ])('%s', async (_, conf, name, asked) => {
    const dns = await startDns(() => nxdomain);
    expect((await outcomeOf(resolverAsking([dns], conf), name)).said).toBe('ENOTFOUND');
    expect(dns.asked.filter((each) => each.startsWith('A '))).toEqual(
      asked.map((each) => `A ${each}`),
    );
  });

  test('the search ends at the first name that has addresses', async () => {
    const dns = await startDns((name, type) =>
      name === 'mongo.b.test' && type === 'A' ? { answers: records(name, 'A', A) } : nxdomain,
    );
    const resolver = resolverAsking([dns], 'search a.test b.test c.test\n');
    expect((await outcomeOf(resolver, 'mongo')).said).toEqual([A]);
    expect(dns.asked.some((each) => /c\.test| mongo$/.test(each))).toBe(false);
  });

  test('the search goes on past a family that hangs', async () => {
    const dns = await startDns((name, type) => {
      if (type === 'AAAA') return null;
      return name === 'mongo' ? { answers: records(name, 'A', A) } : nxdomain;
    });
    const outcome = await outcomeOf(
      resolverAsking([dns], 'search a.test\noptions timeout:20\n'),
      'mongo',
    );
    expect(outcome.said).toEqual([A]);
    expect(outcome.ms).toBeLessThan(15_000);
  });

  test('a domain whose server fails makes it uncertain whether a name exists', async () => {
    const dns = await startDns((name) => (name.endsWith('a.test') ? servfail : nxdomain));
    expect((await outcomeOf(resolverAsking([dns], 'search a.test\n'), 'mongo')).said).toBe(
      'EAI_AGAIN',
    );
  });

  test('who has given up is not asked for, and what was begun ends', async () => {
    const dns = await startDns(() => null);
    const { resolve } = resolverAsking([dns]);
    const reason = new Error('gone');
    await expect(resolve(NAME, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(dns.asked).toEqual([]);
    const controller = new AbortController();
    const lookup = resolve(NAME, controller.signal);
    await soon(() => expect(dns.asked).toHaveLength(2));
    controller.abort(reason);
    await expect(lookup).rejects.toBe(reason);
    await sleep(1_300);
    expect(dns.asked).toHaveLength(2);
  });

  test('resolv.conf is read again when it changes', async () => {
    const [one, other] = [await startDns(byType(four, none)), await startDns(byType(none, six))];
    const { resolver, write } = resolverWith({ resolvConf: `nameserver ${one.address}\n` });
    expect((await outcomeOf(resolver)).said).toEqual([A]);
    write('resolvConf', `nameserver ${other.address}\n`);
    expect((await outcomeOf(resolver)).said).toEqual([AAAA]);
  });

  test('with rotate, the servers take turns', async () => {
    const servers = [await startDns(byType(four, none)), await startDns(byType(four, none))];
    const resolver = resolverAsking(servers, 'options rotate\n');
    for (let turn = 0; turn < 4; turn += 1) await outcomeOf(resolver);
    for (const { asked } of servers) expect(asked).toHaveLength(4);
  });
});

describe('a name in /etc/hosts', () => {
  test.skipIf(isReserved(53))('is not asked of DNS, whatever else DNS knows of it', async () => {
    const dns = await startDns(byType(four, six));
    const { resolver, write } = resolverWith({
      hosts: '10.0.0.7 other Name.Test\n',
      resolvConf: `nameserver ${dns.address}\n`,
    });
    expect((await outcomeOf(resolver)).said).toEqual(['10.0.0.7']);
    expect((await outcomeOf(resolver, 'NAME.test')).said).toEqual(['10.0.0.7']);
    expect(dns.asked).toEqual([]);
    // In place, within the same second, and of the same length.
    write('hosts', '10.0.0.8 other Name.Test\n');
    expect((await outcomeOf(resolver)).said).toEqual(['10.0.0.8']);
    write('hosts', '');
    expect((await outcomeOf(resolver)).said).toEqual([A, AAAA]);
  });

  test('localhost is this machine, with and without a line of its own', async () => {
    const { resolver } = resolverWith({ hosts: '127.0.0.9 localhost\n' });
    expect((await outcomeOf(resolver, 'localhost')).said).toEqual(['127.0.0.9']);
    const empty = resolverWith({ resolvConf: 'nameserver 127.254.254.254\n' }).resolver;
    expect(new Set((await outcomeOf(empty, 'localhost')).said)).toEqual(
      new Set(['127.0.0.1', '::1']),
    );
    expect(new Set((await outcomeOf(empty, 'a.LOCALHOST')).said)).toEqual(
      new Set(['127.0.0.1', '::1']),
    );
  });

  test('an address stands for itself', async () => {
    const { resolver } = resolverWith({ hosts: '10.0.0.1 192.0.2.7\n' });
    expect((await outcomeOf(resolver, '192.0.2.7')).said).toEqual(['192.0.2.7']);
    expect((await outcomeOf(resolver, '2001:DB8::7')).said).toEqual(['2001:db8::7']);
  });
});
