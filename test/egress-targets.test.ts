import { describe, expect, test } from 'vitest';
import { connectionOf, startTarget } from './helpers/origin.ts';
import { startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo } from './helpers/raw-client.ts';

const ALLOW = { EGRESS_ALLOW: 'ok.test evil.test:80 127.0.0.0/8:8443 [::1]:8443' };
const NAMES = { 'ok.test': ['192.0.2.1'] };

// What Node's parser lets through as a CONNECT target, and what others took for something that it
// is not. None of it may be guessed at.
const MALFORMED = [
  'ok.test',
  'ok.test:',
  'ok.test:0',
  'ok.test:0443',
  'ok.test:99999',
  'ok.test:-1',
  'ok.test:+443',
  'ok.test:443.0',
  'ok.test:0x1bb',
  'ok.test:https',
  ':443',
  'ok.test:443:443',
  'ok.test:443@evil.test:443',
  'user@ok.test:443',
  'user:secret@ok.test:443',
  'evil.test%00.ok.test:443',
  'ok.test%2eevil.test:443',
  'ok.test\\@evil.test:443',
  '[ok.test]:443',
  '[127.0.0.1]:8443',
  '[::1%25lo]:8443',
  '[::1%lo]:8443',
  '[::1:8443',
  '::1:8443',
  '[]:443',
  '0x7f.1:8443',
  '0x7f000001:8443',
  '2130706433:8443',
  '127.1:8443',
  '127.0.0.01:8443',
  '0177.0.0.1:8443',
  '127.0.0.1.:8443',
  '127.0.0.256:8443',
  'ok.test..:443',
  '.ok.test:443',
  'ok..test:443',
  'ok_test-:443',
  '*.ok.test:443',
  'ok.test:443/x',
  'ok.test:443?x',
  'ok.test:443#x',
  'http://ok.test:443',
  'https://ok.test:443/',
  '*',
  '/',
];

/** The log doubles backslashes, since they begin its escapes. */
function asLogged(target: string): string {
  return target.replaceAll('\\', '\\\\');
}

describe('a CONNECT target that is not host:port', () => {
  test.each(MALFORMED)('%s is refused with 400 and logged as it came', async (target) => {
    const proxy = await startProxy(ALLOW, NAMES);
    const answer = await ask(proxy.port, connectTo(target));
    expect(answer.status).toBe(400);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('bad_target');
    expect(proxy.decisions()).toMatchObject([
      {
        decision: 'deny',
        reason: 'bad_target',
        via: 'connect',
        host: asLogged(target),
        port: null,
      },
    ]);
    expect(proxy.lookups).toEqual([]);
  });

  test.each([
    ['NUL', 'ok.test\0.evil.test:443'],
    ['a tab', 'ok.test\t:443'],
    ['a space', 'ok.test :443'],
    ['a byte above ASCII', 'ok.test\xff:443'],
    ['full-width letters in UTF-8', '\xef\xbd\x8fk.test:443'],
  ])('%s in it is refused by the parser, and logged all the same', async (_, target) => {
    const proxy = await startProxy(ALLOW, NAMES);
    const answer = await ask(proxy.port, connectTo(target));
    expect(answer.status).toBe(400);
    expect(proxy.decisions()).toMatchObject([{ decision: 'deny', reason: 'bad_target' }]);
    expect(proxy.lookups).toEqual([]);
  });
});

describe('an absolute-form target that is not plain http://host', () => {
  test.each([
    ['/', 'origin-form'],
    ['/healthz', 'origin-form'],
    ['*', 'asterisk-form'],
    ['https://ok.test/', 'https'],
    ['ftp://ok.test/', 'another scheme'],
    ['ws://ok.test/', 'another scheme'],
    ['http:/ok.test/', 'one slash'],
    ['http:ok.test', 'no slash'],
    ['http:///ok.test', 'no host'],
    ['http://evil.test@ok.test/', 'user information'],
    ['http://ok.test:80@evil.test/', 'user information'],
    ['http://evil.test#@ok.test/', 'a fragment'],
    ['http://evil.test\\.ok.test/', 'a backslash'],
    ['http://evil.test:0080/', 'a port with a leading zero'],
    ['http://evil.test:/', 'an empty port'],
    ['http://0x7f.1/', 'an address in hexadecimal'],
    ['http://2130706433/', 'an address as a number'],
    ['http://[::1%25lo]/', 'a zone'],
    ['http://%65vil.test/', 'an escape in the host'],
  ])('%s (%s) is refused with 400', async (target) => {
    const proxy = await startProxy(ALLOW, NAMES);
    const answer = await ask(proxy.port, `GET ${target} HTTP/1.1\r\nHost: evil.test\r\n\r\n`);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('proxy-status')).toBe(
      'whisper-proxy; error=http_request_error; details="bad_target"',
    );
    expect(proxy.decisions()).toMatchObject([
      { decision: 'deny', reason: 'bad_target', via: 'http', host: asLogged(target), port: null },
    ]);
    expect(proxy.lookups).toEqual([]);
  });
});

describe('a target in another spelling', () => {
  test.each([
    ['ORIGIN.Test', 'origin.test'],
    ['origin.test.', 'origin.test'],
    ['[::FFFF:127.0.0.1]', '127.0.0.1'],
    ['[::ffff:7f00:1]', '127.0.0.1'],
    ['[0:0:0:0:0:ffff:7f00:0001]', '127.0.0.1'],
  ])('%s is decided and dialled as %s', async (spelling, host) => {
    const target = await startTarget();
    const { port } = target;
    const proxy = await startProxyTo(port);
    const { status } = await ask(proxy.port, connectTo(`${spelling}:${port}`));
    expect(status).toBe(200);
    expect(proxy.decisions()).toMatchObject([{ decision: 'allow', host, port }]);
    await connectionOf(target);
  });

  test.each([
    ['ok.test:80', 'ok.test:80'],
    ['evil.test:443', 'evil.test'],
    ['EVIL.test.:443', 'evil.test'],
    ['sub.ok.test:443', 'sub.ok.test'],
    ['notok.test:443', 'notok.test'],
    ['ok.test.evil.test:443', 'ok.test.evil.test'],
    ['8.8.8.8:443', '8.8.8.8:443'],
    ['[2606:4700::1111]:443', '[2606:4700::1111]:443'],
    ['[2606:4700:0:0::1111]:443', '[2606:4700::1111]:443'],
  ])('CONNECT %s is denied, and the answer says to add %s', async (target, rule) => {
    const proxy = await startProxy(ALLOW, NAMES);
    const answer = await ask(proxy.port, connectTo(target));
    expect(answer.status).toBe(403);
    expect(answer.headers.get('x-whisper-proxy-reason')).toBe('not_allowed');
    expect(answer.body).toMatch(/ EGRESS_ALLOW_[A-Z0-9_]+=/);
    expect(answer.body.endsWith(`=${rule}\n`)).toBe(true);
    expect(proxy.lookups).toEqual([]);
  });
});
