import { describe, expect, test } from 'vitest';
import { parseClientHello } from '../src/tls/client-hello.ts';
import { judge } from '../src/verify/ask.ts';
import { judgeHello, judgeNoTls, type TlsAnswer } from '../src/verify/ask-tls.ts';
import { clientHello } from '../src/verify/hello.ts';
import { judgeDenied, judgeEmpty } from '../src/verify/lookup-probes.ts';
import type { NameServerAnswer } from '../src/verify/name-server.ts';

describe('an answer to what must be refused', () => {
  test.each([
    [403, 'not_allowed'],
    [403, 'deny_rule'],
    [403, 'non_public_address'],
    [403, 'client_not_allowed'],
    [400, 'bad_target'],
    [403, 'sni_mismatch'],
    [403, 'no_sni'],
    [503, 'dns_error'],
  ])('%i %s is a refusal', (status, reason) => {
    expect(judge({ status, reason })).toEqual({ state: 'closed', detail: `${status} ${reason}` });
  });

  test.each([
    [502, 'connect_failed'],
    [504, 'connect_failed'],
    [502, 'dns_error'],
    [502, 'foreign_redirect'],
  ])('%i %s came after a try', (status, reason) => {
    expect(judge({ status, reason }).state).toBe('open');
  });

  test.each([
    200, 302,
    // A metadata service that wants a token first, whisper without such a page, a server's own 403.
    401, 404, 403,
  ])('%i without a reason is from beyond the proxy', (status) => {
    expect(judge({ status, reason: null })).toEqual({ state: 'open', detail: String(status) });
  });

  test('a reason with a status of success is from beyond too', () => {
    expect(judge({ status: 200, reason: 'not_allowed' }).state).toBe('open');
  });

  test.each([
    [500, null],
    [502, null],
    [503, 'too_many_connections'],
    [403, 'a_reason_of_a_later_version'],
  ])('%i %s proves nothing', (status, reason) => {
    expect(judge({ status, reason }).state).toBe('unknown');
  });
});

describe('an answer to a ClientHello that must be refused', () => {
  const REFUSALS = ['access_denied'];
  const alert = (description: string) => ({ kind: 'alert', description }) as const;

  test.each<[TlsAnswer, string]>([
    [alert('access_denied'), 'closed'],
    // Any other is from beyond.
    [alert('unrecognized_name'), 'open'],
    [alert('alert 40'), 'open'],
    [alert('alert 80'), 'open'],
    [{ kind: 'server_hello' }, 'open'],
    [{ kind: 'bytes' }, 'open'],
    [{ kind: 'end', why: 'ECONNRESET' }, 'unknown'],
    [{ kind: 'silence' }, 'unknown'],
    [{ kind: 'unreached', why: 'ETIMEDOUT' }, 'unknown'],
  ])('%j is %s', (answer, state) => {
    expect(judgeHello(answer, REFUSALS).state).toBe(state);
  });

  test.each<[TlsAnswer, string]>([
    [{ kind: 'end', why: 'ECONNRESET' }, 'closed'],
    [{ kind: 'end', why: 'closed' }, 'closed'],
    [{ kind: 'silence' }, 'open'],
    [{ kind: 'bytes' }, 'open'],
    [alert('access_denied'), 'open'],
    [{ kind: 'unreached', why: 'ETIMEDOUT' }, 'unknown'],
  ])('or to what is no TLS: %j is %s', (answer, state) => {
    expect(judgeNoTls(answer).state).toBe(state);
  });

  test.each(['huggingface.co', '169.254.169.254', null])(
    'the hello itself names %s, and can be read',
    (name) => {
      expect(parseClientHello(clientHello(name))).toEqual({
        kind: 'hello',
        hello: { serverNames: name === null ? [] : [name], ech: false },
      });
    },
  );
});

describe('an answer about a name that must not exist', () => {
  const answer = (code: string, records = 0, isOwn = true): NameServerAnswer => {
    return { kind: 'answer', code, records, addresses: [], isOwn };
  };

  test.each<[NameServerAnswer, string]>([
    [answer('NXDOMAIN'), 'closed'],
    [answer('REFUSED'), 'closed'],
    [answer('NXDOMAIN', 0, false), 'open'],
    [answer('NOERROR'), 'open'],
    [answer('NOERROR', 1, false), 'open'],
    [answer('SERVFAIL', 0, false), 'unknown'],
    [{ kind: 'silence', why: 'nothing came' }, 'unknown'],
  ])('%j is %s', (given, state) => {
    expect(judgeDenied(given).state).toBe(state);
  });

  test('or that has no such records', () => {
    expect(judgeEmpty(answer('NOERROR')).state).toBe('closed');
    expect(judgeEmpty(answer('NOERROR', 1)).state).toBe('open');
    expect(judgeEmpty(answer('NOERROR', 0, false)).state).toBe('open');
  });
});
