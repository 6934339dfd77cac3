import { expect, test } from 'vitest';
import { formatRow } from '../src/log/rows.ts';

const TIME = new Date(2026, 0, 2, 3, 4, 5).toISOString();
const BASE = { time: TIME, event: 'egress', via: 'connect', host: 'a.test', port: 443, rule: null };

test.each([
  [
    { ...BASE, decision: 'deny', reason: 'not_allowed' },
    /^03:04:05 {2}deny +connect +a\.test:443 +not_allowed +to allow it: EGRESS_ALLOW_A_TEST=a\.test$/,
  ],
  [
    { ...BASE, via: 'dns', method: 'A', port: null, decision: 'deny', reason: 'not_allowed' },
    /^03:04:05 {2}deny +dns +a\.test +not_allowed +to allow it: EGRESS_ALLOW_A_TEST=a\.test$/,
  ],
  [
    {
      ...{ time: TIME, level: 'warn', event: 'ingress_failure', reason: 'connection_refused' },
      ...{ error: 'ECONNREFUSED', client: '10.1.1.5', method: 'POST', status: 502, duration_ms: 3 },
    },
    /^03:04:05 {2}failed +ingress +POST 502 10\.1\.1\.5 +connection_refused \(ECONNREFUSED\), 3 ms$/,
  ],
  [
    {
      ...{ time: TIME, level: 'warn', event: 'ingress_failure', reason: 'connection_refused' },
      ...{ error: null, client: null, method: null, status: null, repeated: 4 },
    },
    /^03:04:05 {2}failed +ingress +\(many\) +connection_refused {2}\(4 more\)$/,
  ],
  [
    {
      ...{ time: TIME, level: 'info', event: 'ingress_request', client: '10.1.1.5' },
      ...{ method: 'GET', status: 200, bytes_in: 1, bytes_out: 2, duration_ms: 3 },
    },
    /^03:04:05 {2}request +ingress +GET 200 10\.1\.1\.5 +1 bytes in, 2 out, 3 ms$/,
  ],
  [
    { ...BASE, decision: 'deny', reason: 'deny_rule', rule: 'x', repeated: 3 },
    /deny_rule {2}\(3 more\)$/,
  ],
  [
    { ...BASE, decision: 'allow', reason: null, rule: 'MODELS hf.co' },
    /allow +connect +a\.test:443 +MODELS hf\.co$/,
  ],
  [
    { ...BASE, decision: 'deny', reason: 'bad_target', host: 'x\\x1b', port: null },
    /deny +connect +x\\x1b +bad_target$/,
  ],
  [
    {
      ...BASE,
      decision: 'deny',
      reason: 'not_allowed',
      host: null,
      port: null,
      via: null,
      repeated: 9,
    },
    /\(many\) +not_allowed {2}\(9 more\)$/,
  ],
  [
    {
      ...BASE,
      event: 'ingress',
      decision: 'deny',
      reason: 'client_not_allowed',
      host: '/',
      port: null,
    },
    /deny +ingress +\/ +client_not_allowed$/,
  ],
  [
    {
      time: TIME,
      event: 'egress_end',
      via: 'http',
      host: 'h',
      port: 80,
      bytes_out: 1,
      bytes_in: 2,
      duration_ms: 3,
      error: 'ECONNRESET',
    },
    /ended +http +h:80 +1 bytes out, 2 in, 3 ms, ECONNRESET$/,
  ],
  [
    { time: TIME, level: 'warn', msg: 'hello', client: 'a\nb' },
    /^03:04:05 {2}warn +hello {2}\{"client":"a\\nb"\}$/,
  ],
])('%j', (line, row) => {
  expect(formatRow(line)).toMatch(row);
});

test('colour is a matter of the terminal', () => {
  const line = { ...BASE, decision: 'deny', reason: 'not_allowed' };
  expect(formatRow(line, true)).toContain('\u001b[31mdeny');
  expect(formatRow(line)).not.toContain('\u001b');
});
