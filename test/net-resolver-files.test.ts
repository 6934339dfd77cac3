import { describe, expect, test } from 'vitest';
import { candidates, parseHosts, parseResolvConf } from '../src/net/resolver-files.ts';

describe('hosts(5)', () => {
  test.each<[text: string, name: string, addresses: string[] | undefined]>([
    ['10.0.0.1 a b\tc', 'c', ['10.0.0.1']],
    ['  10.0.0.1\t a  ', 'a', ['10.0.0.1']],
    ['10.0.0.1 a\r\n10.0.0.2 a\r\n', 'a', ['10.0.0.1', '10.0.0.2']],
    ['10.0.0.1 a\n10.0.0.1 A', 'a', ['10.0.0.1']],
    ['2001:DB8::1 a', 'a', ['2001:db8::1']],
    ['::ffff:10.0.0.1 a', 'a', ['10.0.0.1']],
    ['10.0.0.1 a#b', 'a', ['10.0.0.1']],
    ['10.0.0.1 a # b', 'b', undefined],
    ['# 10.0.0.1 a', 'a', undefined],
    ['fe80::1%eth0 a', 'a', undefined],
    ['10.0.0 a', 'a', undefined],
    ['0x7f.1 a', 'a', undefined],
    ['a 10.0.0.1', 'a', undefined],
    ['10.0.0.1', '10.0.0.1', undefined],
    ['10.0.0.1 __proto__', '__proto__', ['10.0.0.1']],
    ['', 'a', undefined],
  ])('%j gives %s as %j', (text, name, addresses) => {
    expect(parseHosts(text).get(name)).toEqual(addresses);
  });
});

describe('resolv.conf(5)', () => {
  const DEFAULTS = {
    servers: ['127.0.0.1'],
    search: [],
    ndots: 1,
    timeoutMs: 5_000,
    attempts: 2,
    rotate: false,
  };

  test.each<[text: string, different: object]>([
    ['', {}],
    ['nameserver 10.89.0.1', { servers: ['10.89.0.1'] }],
    ['nameserver 10.89.0.1 # podman', { servers: ['10.89.0.1'] }],
    ['nameserver\t::1\r\nnameserver 10.0.0.1', { servers: ['::1', '10.0.0.1'] }],
    [
      [1, 2, 3, 4].map((n) => `nameserver 10.0.0.${n}`).join('\n'),
      { servers: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] },
    ],
    ['nameserver example.org\nnameserver', {}],
    ['#nameserver 10.0.0.1\n;nameserver 10.0.0.2\n nameserver 10.0.0.3', {}],
    ['search dns.podman example.org.', { search: ['dns.podman', 'example.org'] }],
    ['search a\nsearch b', { search: ['b'] }],
    ['domain a b', { search: ['a'] }],
    ['search .', { search: [''] }],
    ['search', {}],
    [
      'options ndots:2 timeout:1 attempts:3 rotate',
      { ndots: 2, timeoutMs: 1_000, attempts: 3, rotate: true },
    ],
    ['options ndots:99 timeout:99 attempts:99', { ndots: 15, timeoutMs: 30_000, attempts: 5 }],
    ['options ndots:0 timeout:0 attempts:0', { ndots: 0, timeoutMs: 1_000, attempts: 1 }],
    ['options ndots timeout:x attempts:-1 edns0 trust-ad', {}],
    ['options timeout:1\noptions attempts:1', { timeoutMs: 1_000, attempts: 1 }],
  ])('%j', (text, different) => {
    expect(parseResolvConf(text, 'host')).toEqual({ ...DEFAULTS, ...different });
  });

  test("the host's own domain is searched where the file names none", () => {
    expect(parseResolvConf('', 'host.example.org').search).toEqual(['example.org']);
    expect(parseResolvConf('search a', 'host.example.org').search).toEqual(['a']);
  });

  test('each name is asked for once', () => {
    const conf = { ...DEFAULTS, search: ['a', '', 'a'] };
    expect(candidates('x', conf)).toEqual(['x.a', 'x']);
    expect(candidates('x.y', conf)).toEqual(['x.y', 'x.y.a']);
  });
});
