import { describe, expect, test } from 'vitest';
import { type HelloResult, MAX_HELLO_BYTES, parseClientHello } from '../src/tls/client-hello.ts';
import {
  answerOverTime,
  ENCRYPTED_CLIENT_HELLO,
  extension,
  fault,
  type HelloParts,
  hello,
  helloMessage,
  messageOf,
  named,
  number,
  RECORD_HEAD,
  readFixtures,
  record,
  records,
  serverName,
} from './helpers/client-hello.ts';

const EXAMPLE = serverName('example.test');
const KEY_SHARE = extension(51, Buffer.alloc(40, 7));

describe.each(readFixtures())('the hello of a real program: $name', (fixture) => {
  const { serverNames, ech, bytes } = fixture;
  const expected = { kind: 'hello', hello: { serverNames, ech } };

  test('is read, and only its last byte makes it complete', () => {
    expect(answerOverTime(bytes)).toEqual({ answer: expected, at: bytes.length });
  });

  test('is the same whatever records carry it', () => {
    const message = messageOf(bytes);
    for (const size of [1, 2, 7, 100, 16_384]) {
      const stream = records(message, size);
      if (stream.length > MAX_HELLO_BYTES) {
        expect(parseClientHello(stream)).toEqual(fault('hello_too_long'));
      } else {
        expect(answerOverTime(stream)).toEqual({ answer: expected, at: stream.length });
      }
    }
  });

  test('is a fault with a byte more or less in its message', () => {
    const message = messageOf(bytes);
    for (const change of [-1, 1]) {
      const changed = Buffer.concat([message, Buffer.alloc(1)]).subarray(
        0,
        message.length + change,
      );
      changed.writeUIntBE(changed.length - 4, 1, 3);
      expect(parseClientHello(records(changed, 16_384))).toEqual(fault('malformed_hello'));
    }
  });
});

test('there are fixtures of every family of clients', () => {
  const names = readFixtures().map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['chromium', 'curl', 'gnutls', 'go', 'java', 'node-fetch', 'rustls']),
  );
});

describe('what is read', () => {
  const many = Array.from({ length: 100 }, (_, index) => `host-${index}.test`);
  const grease = [0x0a0a, 0x1a1a, 0xfafa].map((type) => extension(type, Buffer.alloc(1)));
  const suites = Buffer.concat([number(0x2a2a, 2), number(0x1301, 2)]);
  test.each<[string, HelloParts, string[]]>([
    ['a name', { extensions: [EXAMPLE] }, ['example.test']],
    ['a name behind others', { extensions: [KEY_SHARE, EXAMPLE] }, ['example.test']],
    ['no extensions', { extensions: [] }, []],
    ['not even the length of extensions', { extensions: null }, []],
    ['extensions without a name', { extensions: [KEY_SHARE] }, []],
    ['several names', { extensions: [serverName('a.test', 'b.test')] }, ['a.test', 'b.test']],
    ['one name twice', { extensions: [serverName('a.test', 'a.test')] }, ['a.test', 'a.test']],
    ['many names', { extensions: [serverName(...many)] }, many],
    ['a name of one byte', { extensions: [serverName('a')] }, ['a']],
    ['a long name', { extensions: [serverName('a'.repeat(9_000))] }, ['a'.repeat(9_000)]],
    ['a name as it was sent', { extensions: [serverName('A.\0\xff\r\n. ')] }, ['A.\0\xff\r\n. ']],
    ['GREASE', { cipherSuites: suites, extensions: [...grease, EXAMPLE] }, ['example.test']],
    ['SSL 3.0', { version: 0x0300, extensions: null }, []],
    ['TLS 1.0', { version: 0x0301, extensions: [EXAMPLE] }, ['example.test']],
    ['a version to come', { version: 0x03ff, extensions: [EXAMPLE] }, ['example.test']],
    [
      'a session id of 32',
      { sessionId: Buffer.alloc(32), extensions: [EXAMPLE] },
      ['example.test'],
    ],
    [
      'all compression methods',
      { compression: Buffer.alloc(255), extensions: [EXAMPLE] },
      ['example.test'],
    ],
  ])('%s', (_, parts, serverNames) => {
    const bytes = hello(parts);
    expect(answerOverTime(bytes)).toEqual({ answer: named(...serverNames), at: bytes.length });
  });

  test('that there is an encrypted hello', () => {
    const ech = extension(ENCRYPTED_CLIENT_HELLO, Buffer.alloc(100));
    for (const extensions of [
      [ech, EXAMPLE],
      [EXAMPLE, ech],
    ]) {
      const expected = { kind: 'hello', hello: { serverNames: ['example.test'], ech: true } };
      expect(parseClientHello(hello({ extensions }))).toEqual(expected);
    }
  });

  test.each([0x0300, 0x0301, 0x0303, 0x03ff])('records of version %i', (version) => {
    const bytes = hello({ extensions: [EXAMPLE] });
    bytes.writeUInt16BE(version, 1);
    expect(parseClientHello(bytes)).toEqual(named('example.test'));
  });

  test('nothing of what follows in other records', () => {
    const bytes = hello({ extensions: [EXAMPLE] });
    const early = record(Buffer.alloc(50), 23);
    const second = hello({ extensions: [serverName('other.test')] });
    for (const rest of [early, second, Buffer.from('GET /'), Buffer.alloc(9)]) {
      const stream = Buffer.concat([bytes, rest]);
      expect(answerOverTime(stream)).toEqual({ answer: named('example.test'), at: bytes.length });
    }
  });
});

describe('how long it may be', () => {
  const padded = (length: number) => {
    const padding = Buffer.alloc(length - helloMessage({ extensions: [EXAMPLE] }).length - 4);
    return helloMessage({ extensions: [EXAMPLE, extension(21, padding)] });
  };

  // Two full records and one more.
  const longest = MAX_HELLO_BYTES - 2 * RECORD_HEAD;

  test('as long as it may be', () => {
    const bytes = records(padded(longest), 16_384);
    expect(bytes).toHaveLength(MAX_HELLO_BYTES);
    expect(parseClientHello(bytes)).toEqual(named('example.test'));
  });

  test.each<[string, Buffer, number]>([
    ['a byte more', records(padded(longest + 1), 16_384), 9],
    ['the most that a message can say', Buffer.from('160301400001ffffff', 'hex'), 9],
    [
      'the least that takes the first byte of its length',
      Buffer.from('160301400001010000', 'hex'),
      9,
    ],
    ['the most in records of one byte', records(Buffer.from('01ffffff00', 'hex'), 1), 24],
    // The second record would have to be followed by a third.
    ['records that leave too little', records(padded(longest), 16_384, 16_000), 16_394],
    ['the heads of many records', records(padded(5_462), 1), 32_765],
  ])('%s', (_, bytes, at) => {
    expect(parseClientHello(bytes.subarray(0, at - 1)).kind).toBe('incomplete');
    expect(parseClientHello(bytes.subarray(0, at))).toEqual(fault('hello_too_long'));
    expect(parseClientHello(bytes)).toEqual(fault('hello_too_long'));
  });

  test('asking when enough has come takes few questions, however small the records', () => {
    const bytes = records(padded(5_461), 1);
    let questions = 0;
    let result: HelloResult = { kind: 'incomplete', needed: 0 };
    while (result.kind === 'incomplete' && questions < 60) {
      questions += 1;
      result = parseClientHello(bytes.subarray(0, result.needed));
    }
    expect(result).toEqual(named('example.test'));
  });
});

test.each([
  [[], 1],
  [[22], 2],
  [[22, 3], 3],
  [[22, 3, 1], 4],
  [[22, 3, 1, 0], 5],
  [[22, 3, 1, 0, 100], 9],
  [[22, 3, 1, 0, 100, 1, 0, 0], 9],
  [[22, 3, 1, 0, 100, 1, 0, 0, 96], 105],
  [[22, 3, 1, 0, 100, 1, 0, 0, 97], 111],
  [[22, 3, 1, 0, 1], 14],
  [[22, 3, 1, 0, 1, 1], 14],
  [[22, 3, 1, 0, 1, 1, 22, 3], 14],
  [[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 3], 14],
  [[22, 3, 1, 0, 4, 1, 0, 0, 50, 22, 3], 64],
  [[22, 3, 1, 0, 4, 1, 0, 64, 1], 16_404],
])('after %j it needs %i', (bytes, needed) => {
  expect(parseClientHello(Uint8Array.from(bytes))).toEqual({ kind: 'incomplete', needed });
});
