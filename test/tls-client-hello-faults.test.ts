import { describe, expect, test } from 'vitest';
import { alert } from '../src/tls/alert.ts';
import {
  answerOverTime,
  extension,
  fault,
  hello,
  helloMessage,
  hostName,
  number,
  RECORD_HEAD,
  record,
  SERVER_NAME,
  serverName,
  vector,
} from './helpers/client-hello.ts';

const EXAMPLE = serverName('example.test');
const KEY_SHARE = extension(51, Buffer.alloc(40, 7));
const PADDING = extension(21, Buffer.alloc(40));

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
    ['an alert', alert('access_denied'), 1],
    ['application data', record(Buffer.alloc(9), 23), 1],
    ['a heartbeat', record(Buffer.alloc(9), 24), 1],
    ['zeros', Buffer.alloc(40), 1],
    ['a handshake message without a record', helloMessage(), 1],
  ])('%s', (_, bytes, at) => {
    expect(answerOverTime(bytes)).toEqual({ answer: fault('not_tls'), at });
  });
});
