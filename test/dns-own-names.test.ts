import { describe, expect, test } from 'vitest';
import { findOwnName } from '../src/dns/own-names.ts';
import { Reader } from '../src/dns/reader.ts';
import { labels } from './helpers/dns-messages.ts';

const names = {
  address: '10.89.77.2',
  proxyNames: ['whisper-proxy', '0a1b2c3d4e5f'],
  clientNames: ['whisper-gate', 'Gate.Example'],
};
const CLIENT = '10.89.77.3';

function find(dotted: string, client: string | null = CLIENT, own = names) {
  return findLabels(dotted.split('.'), client, own);
}

function findLabels(parts: string[], client: string | null = CLIENT, own = names) {
  return findOwnName(new Reader(labels(...parts), 0).name(), own, client);
}

describe('an address', () => {
  test.each([
    ['localhost', '127.0.0.1'],
    ['LocalHost', '127.0.0.1'],
    ['a.localhost', '127.0.0.1'],
    ['x.y.LOCALHOST', '127.0.0.1'],
    ['whisper-proxy', '10.89.77.2'],
    ['WHISPER-Proxy', '10.89.77.2'],
    ['0a1b2c3d4e5f', '10.89.77.2'],
    ['whisper-gate', '10.89.77.3'],
    ['gATE.eXAMPLE', '10.89.77.3'],
  ])('%s: %s', (name, address) => {
    expect(find(name)).toEqual({ type: 'A', address });
  });

  test('a name of the client is the address of whoever asks', () => {
    expect(find('whisper-gate', '192.0.2.9')).toEqual({ type: 'A', address: '192.0.2.9' });
  });

  test.each([null, '2001:db8::1'])('and none of ours if it is %s', (client) => {
    expect(find('whisper-gate', client)).toBeNull();
  });
});

describe('a name for an address', () => {
  test.each([
    ['2.77.89.10.in-addr.arpa', 'whisper-proxy'],
    ['3.77.89.10.IN-ADDR.arpa', 'whisper-gate'],
    ['1.0.0.127.in-addr.arpa', 'localhost'],
  ])('%s: %s', (name, own) => {
    expect(find(name)).toEqual({ type: 'PTR', name: own });
  });

  test('that of the client goes by who asks', () => {
    expect(find('3.77.89.10.in-addr.arpa', '10.89.77.4')).toBeNull();
    expect(find('4.77.89.10.in-addr.arpa', '10.89.77.4')).toEqual({
      type: 'PTR',
      name: 'whisper-gate',
    });
  });

  test('a client without names has none, unless it is called by another', () => {
    const nameless = { ...names, clientNames: [] };
    expect(find('3.77.89.10.in-addr.arpa', CLIENT, nameless)).toBeNull();
    expect(find('1.0.0.127.in-addr.arpa', '127.0.0.1', nameless)).toEqual({
      type: 'PTR',
      name: 'localhost',
    });
  });
});

describe('not ours', () => {
  test.each([
    'example.org',
    'localhost.example.org',
    'notlocalhost',
    'whisper-proxy.example.org',
    'a.whisper-proxy',
    'whisper-gate.localdomain',
    'in-addr.arpa',
    '77.89.10.in-addr.arpa',
    '4.77.89.10.in-addr.arpa',
    '2.0.0.127.in-addr.arpa',
    '02.77.89.10.in-addr.arpa',
    'x.2.77.89.10.in-addr.arpa',
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa',
  ])('%s', (name) => {
    expect(find(name)).toBeNull();
  });

  test.each([
    ['the root', []],
    ['one label that looks like two', ['a.localhost']],
    ['one label that looks like a name of the client', ['gate.example']],
    ['one label that looks like an address', ['2.77.89.10.in-addr.arpa']],
  ])('%s', (_, parts) => {
    expect(findLabels(parts)).toBeNull();
  });
});
