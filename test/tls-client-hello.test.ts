import { describe, expect, test } from 'vitest';
import { alert } from '../src/tls/alert.ts';
import { type HelloResult, MAX_HELLO_BYTES, parseClientHello } from '../src/tls/client-hello.ts';
import {
  ENCRYPTED_CLIENT_HELLO,
  extension,
  type HelloParts,
  hello,
  helloMessage,
  hostName,
  messageOf,
  number,
  RECORD_HEAD,
  readFixtures,
  record,
  records,
  SERVER_NAME,
  serverName,
  vector,
} from './helpers/client-hello.ts';

const EXAMPLE = serverName('example.test');
const KEY_SHARE = extension(51, Buffer.alloc(40, 7));
const PADDING = extension(21, Buffer.alloc(40));

function named(...serverNames: string[]): HelloResult {
  return { kind: 'hello', hello: { serverNames, ech: false } };
}

function fault(name: string) {
  return { kind: 'fault', fault: name };
}

/** Asks after each byte; fails unless it is incomplete up to some byte and the same from there on. */
function answerOverTime(bytes: Buffer): { answer: HelloResult; at: number } {
  let at = 0;
  let answer = parseClientHello(bytes.subarray(0, 0));
  while (answer.kind === 'incomplete' && at < bytes.length) {
    at += 1;
    answer = parseClientHello(bytes.subarray(0, at));
  }
  for (let length = at; length <= bytes.length; length += 1) {
    expect(parseClientHello(bytes.subarray(0, length))).toEqual(answer);
  }
  return { answer, at };
}

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

describe('a server_name that lies', () => {
  const name = Buffer.from('example.test');
  const list = vector(2, hostName('example.test'));
  test.each<[string, Buffer]>([
    ['empty', Buffer.alloc(0)],
    ['half a length', Buffer.alloc(1)],
    ['an empty list', number(0, 2)],
    ['an empty list, and something behind it', Buffer.concat([number(0, 2), hostName('a')])],
    ['a list that is longer than it says', Buffer.concat([list, Buffer.alloc(1)])],
    ['a list that is shorter than it says', list.subarray(0, -1)],
    ['a list with half a head', vector(2, hostName('a'), Buffer.alloc(2))],
    ['a list with a type alone', vector(2, hostName('a'), Buffer.alloc(1))],
    ['an empty name', vector(2, hostName(''))],
    ['an empty name behind another', vector(2, hostName('a'), hostName(''))],
    ['a name that is longer than it says', vector(2, number(0, 1), number(11, 2), name)],
    ['a name that is shorter than it says', vector(2, number(0, 1), number(13, 2), name)],
    ['a name longer than all', vector(2, number(0, 1), number(65_535, 2), name)],
    ['another type', vector(2, number(1, 1), vector(2, name))],
    ['another type behind the name', vector(2, hostName('a'), number(1, 1), vector(2, name))],
    ['the name without a list', hostName('example.test')],
    ['the name alone', name],
  ])('%s', (_, content) => {
    const bytes = hello({ extensions: [KEY_SHARE, extension(SERVER_NAME, content), PADDING] });
    const expected = { answer: fault('malformed_hello'), at: bytes.length };
    expect(answerOverTime(bytes)).toEqual(expected);
  });
});

describe('a hello that is malformed', () => {
  const good = helloMessage({ extensions: [EXAMPLE] });
  const cut = (length: number) =>
    Buffer.concat([number(1, 1), vector(3, good.subarray(4, length))]);
  const withBody = (...parts: Buffer[]) => Buffer.concat([number(1, 1), vector(3, ...parts)]);
  const start = [number(0x0303, 2), Buffer.alloc(32)];
  const end = [number(0, 1), number(0x0002_1301, 4), number(0x0100, 2)];
  test.each<[string, Buffer]>([
    ['a body of nothing', withBody()],
    ['a version alone', cut(6)],
    ['no whole random', cut(37)],
    ['no session id', cut(38)],
    ['no cipher suites', cut(39)],
    ['no compression methods', cut(43)],
    ['half a length of extensions', cut(46)],
    ['extensions that are cut off', cut(good.length - 1)],
    ['something behind the extensions', withBody(good.subarray(4), Buffer.alloc(1))],
    ['version 2', helloMessage({ version: 0x0200, extensions: [EXAMPLE] })],
    ['version 4', helloMessage({ version: 0x0400, extensions: [EXAMPLE] })],
    ['the version of DTLS', helloMessage({ version: 0xfefd, extensions: [EXAMPLE] })],
    ['a session id of 33', helloMessage({ sessionId: Buffer.alloc(33), extensions: [EXAMPLE] })],
    ['no cipher suite', helloMessage({ cipherSuites: Buffer.alloc(0) })],
    ['half a cipher suite', helloMessage({ cipherSuites: Buffer.alloc(3) })],
    ['no compression method', helloMessage({ compression: Buffer.alloc(0) })],
    ['an extension twice', helloMessage({ extensions: [KEY_SHARE, EXAMPLE, KEY_SHARE] })],
    ['server_name twice', helloMessage({ extensions: [EXAMPLE, EXAMPLE] })],
    ['two server_names', helloMessage({ extensions: [EXAMPLE, serverName('other.test')] })],
    [
      'a GREASE extension twice',
      helloMessage({
        extensions: [extension(0x0a0a, number(0, 1)), extension(0x0a0a, number(0, 1))],
      }),
    ],
    ['half an extension', helloMessage({ extensions: [EXAMPLE, Buffer.alloc(3)] })],
    ['an extension that is cut off', helloMessage({ extensions: [KEY_SHARE.subarray(0, -1)] })],
    ['an extension longer than all', helloMessage({ extensions: [number(0x000a_ffff, 4)] })],
    ['nothing behind the head of SSL 3.0', withBody(...start, ...end, number(0, 1))],
  ])('%s', (_, message) => {
    const bytes = record(message);
    expect(answerOverTime(bytes)).toEqual({ answer: fault('malformed_hello'), at: bytes.length });
  });

  test.each<[string, Buffer, number]>([
    ['another message: hello_request', record(Buffer.alloc(4)), 6],
    ['another message: server_hello', record(Buffer.concat([number(2, 1), good.subarray(1)])), 6],
    ['a record of nothing', record(Buffer.alloc(0)), 5],
    ['a record that is too long', Buffer.from('16030140010100', 'hex'), 5],
    ['something behind it in its record', record(Buffer.concat([good, number(0, 1)])), 9],
    ['another hello in its record', record(Buffer.concat([good, good])), 9],
    ['a message that ends before its record', record(Buffer.from('0100000000', 'hex')), 9],
  ])('%s', (_, bytes, at) => {
    expect(answerOverTime(bytes)).toEqual({ answer: fault('malformed_hello'), at });
  });

  const half = record(good.subarray(0, 20));
  const tail = good.subarray(20);
  const after = half.length + RECORD_HEAD;
  test.each<[string, Buffer, number]>([
    ['an alert', record(tail, 21), half.length + 1],
    ['a change of cipher', record(number(1, 1), 20), half.length + 1],
    ['application data', record(tail, 23), half.length + 1],
    ['a record of nothing', record(Buffer.alloc(0)), after],
    ['something behind it in its record', record(Buffer.concat([tail, number(0, 1)])), after],
    ['a version that is not of TLS', Buffer.from('16fefd0001', 'hex'), half.length + 2],
    ['a record that is too long', Buffer.from('1603034001', 'hex'), after],
    ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n'), half.length + 1],
  ])('%s in the middle of it', (_, rest, at) => {
    const bytes = Buffer.concat([half, rest]);
    expect(answerOverTime(bytes)).toEqual({ answer: fault('malformed_hello'), at });
  });
});

describe('what is not TLS', () => {
  test.each<[string, Buffer, number]>([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 1],
    ['HTTP/2', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 1],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), 1],
    ['SOCKS', Buffer.from('050100', 'hex'), 1],
    ['SSL 2.0', Buffer.from('802e0100020015000000100100800300800700c0', 'hex'), 1],
    [
      'SSL 2.0 that offers TLS 1.2',
      Buffer.from('802e0103030015000000100100800300800700c0', 'hex'),
      1,
    ],
    ['DTLS 1.0', Buffer.from('16feff000000000000000000360100002a', 'hex'), 2],
    ['DTLS 1.2', Buffer.from('16fefd000000000000000000360100002a', 'hex'), 2],
    ['a record of version 2', Buffer.from('1602000005', 'hex'), 2],
    ['an alert', alert('internal_error'), 1],
    ['application data', record(Buffer.alloc(9), 23), 1],
    ['a heartbeat', record(Buffer.alloc(9), 24), 1],
    ['zeros', Buffer.alloc(40), 1],
    ['a handshake message without a record', helloMessage(), 1],
  ])('%s', (_, bytes, at) => {
    expect(answerOverTime(bytes)).toEqual({ answer: fault('not_tls'), at });
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

test.each([
  ['access_denied', '15030300020231'],
  ['unrecognized_name', '15030300020270'],
  ['internal_error', '15030300020250'],
] as const)('the alert %s', (description, hex) => {
  expect(alert(description).toString('hex')).toBe(hex);
});
