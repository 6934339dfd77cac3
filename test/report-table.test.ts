import { describe, expect, test } from 'vitest';
import type { Look } from '../src/report/look.ts';
import { remedyFor } from '../src/report/remedies.ts';
import { formatReport, type Report } from '../src/report/report.ts';
import { formatRow } from '../src/report/row.ts';
import type { DecisionGroup } from '../src/report/snapshot.ts';
import { type Tallied, Tally } from '../src/report/tally.ts';
import { ALLOWED, DENIED } from './helpers/decisions.ts';

const PLAIN: Look = { colour: false, width: null, now: new Date(2026, 10, 24, 15).getTime() };
const LONG = `a-very-long-name.${'x'.repeat(60)}.models.example.org`;

/** Local time, so many seconds after noon. */
function at(seconds: number): string {
  return new Date(2026, 10, 24, 12, 0, seconds).toISOString();
}

function group(difference: Partial<Tallied>, seconds: number[] = [0]): DecisionGroup {
  const tally = new Tally();
  for (const second of seconds) tally.add({ ...DENIED, ...difference }, at(second));
  const [only] = tally.groups();
  if (!only) throw new Error('no group');
  return { ...only, remedy: remedyFor(only, { policy: null, taken: new Set() }) };
}

function report(groups: DecisionGroup[], more: Partial<Report> = {}): Report {
  const nothing = { rules: [], failures: [], whisper: null };
  return { groups, source: { since: at(0) }, period: null, all: false, ...nothing, ...more };
}

test('a report for people', () => {
  const groups = [
    group({ host: 'huggingface.co' }, [1, 5, 9]),
    group({ host: 'huggingface.co', port: null, via: 'dns' }, [1, 5]),
    group({ host: 'evil.test', reason: 'deny_rule', rule: 'evil.test' }),
    group({ host: 'api.gradio.app' }, [1, 2]),
    group({ host: '10.89.77.1', port: 22, reason: 'non_public_address', verify: true }, [3, 4]),
    group({ host: 'closed.invalid', port: null, via: 'dns' }, [5]),
    group({ host: '/x', event: 'ingress', reason: 'client_not_allowed', port: null }),
  ];
  const rules = [
    {
      list: 'allow',
      label: 'timed *.hf.co',
      used: 0,
      last: null,
      until: at(1800),
      since: at(0),
    } as const,
    { list: 'allow', label: 'hf.co', used: 0, last: null, until: null, since: at(0) } as const,
  ];
  const text = formatReport(report(groups, { rules }), PLAIN).replace(/(since \S+) \S+/, '$1 ZONE');
  expect(text).toBe(
    `denied since 12:00:00 ZONE (the proxy's start), newest first

COUNT  FIRST     LAST      HOST                REASON
    3  12:00:01  12:00:09  huggingface.co:443  not_allowed
       models from Hugging Face need all of these hosts, and the limit keeps recordings from going there
       to allow it: EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co
                    EGRESS_MAX_UPLOAD_HUGGINGFACE=256KiB
    2  12:00:01  12:00:05  huggingface.co      not_allowed
       to allow it: the same line
    1  12:00:00  12:00:00  evil.test:443       deny_rule
       a deny rule covers it, and no allow rule wins over that; to change it, take evil.test out of EGRESS_DENY
    1  12:00:00  12:00:00  /x (ingress)        client_not_allowed
       10.89.77.3 is not in INGRESS_CLIENTS; add it there if it should be

noise: api.gradio.app:443 (2 times): Gradio's version check and analytics; Environment=GRADIO_ANALYTICS_ENABLED=False in whisper.container turns them off

like verify's attempts, from 12:00:03 to 12:00:05 (if you did not run it then, it was whisper): 10.89.77.1:22 (2), closed.invalid

allowed until 12:30:00: *.hf.co

Put such lines into whisper-proxy.env, then: podman exec whisper-proxy whisper-proxy reload
`,
  );
});

test('what was allowed stands beside what was not, with its rule', () => {
  const groups = [group(ALLOWED), group({ decision: 'would_deny', host: 'x.test' })];
  const text = formatReport(report(groups, { all: true }), PLAIN);
  expect(text).toMatch(/^decided since/);
  expect(text).toMatch(/DECISION {4}HOST {8}REASON\n.* allow {7}hf\.co:443 {3}MODELS hf\.co\n/);
  expect(text).toMatch(/would_deny {2}x\.test:443 {2}not_allowed\n {7}to allow it: /);
});

test('a day that is not today is told, and a year that is not this one', () => {
  const now = new Date(2027, 0, 2).getTime();
  expect(formatReport(report([group({})]), { ...PLAIN, now })).toContain('Nov 24 2026 12:00:00');
  const later = new Date(2026, 10, 26).getTime();
  expect(formatReport(report([group({})]), { ...PLAIN, now: later })).toContain(
    ' Nov 24 12:00:00 ',
  );
});

describe('the headline', () => {
  test.each<[Partial<Report>, RegExp]>([
    [{}, /^denied since 12:00:00 \S+ \(the proxy's start\), newest first\n/],
    [{ period: '1h' }, /^denied in the last 1h, newest first; counts are since 12:00:00 /],
    [{ source: { lines: 1 } }, /^denied, by one line of the log, newest first \(times: \S+\)\n/],
    [{ source: { lines: 9 }, period: '7d' }, /^denied in the last 7d, by 9 lines of the log/],
  ])('of some, %j', (more, headline) => {
    expect(formatReport(report([group({})], more), PLAIN)).toMatch(headline);
  });

  test.each<[Partial<Report>, RegExp]>([
    [{}, /^nothing was denied since 12:00:00 \S+ \(the proxy's start\)\n$/],
    [{ all: true }, /^nothing was decided since/],
    [{ period: '1h' }, /^nothing was denied in the last 1h\n$/],
    [{ source: { lines: 9 } }, /^nothing was denied, by 9 lines of the log \(times: \S+\)\n$/],
    [{ source: { lines: 0 } }, /^nothing was denied: standard input was empty .*-i/],
  ])('of nothing, %j', (more, headline) => {
    expect(formatReport(report([], more), PLAIN)).toMatch(headline);
  });
});

describe('a terminal', () => {
  const groups = [
    group({ host: LONG }),
    group({ reason: 'non_public_address', host: '10.0.0.1', address: '10.0.0.1' }),
    group({ host: 'api.gradio.app' }),
  ];
  const copied = /EGRESS_ALLOW_\S+=\S+/g;

  test.each([120, 80, 66, 40])(
    'of %i columns cuts hosts and breaks sentences, and nothing that is to be copied',
    (width) => {
      const text = formatReport(report(groups), { ...PLAIN, width });
      const lines = text.split('\n').filter((line) => !line.includes('to allow it: '));
      const widest = Math.max(...lines.map((line) => line.length));
      // Below this nothing is left to leave out.
      expect(widest).toBeLessThanOrEqual(Math.max(width, 59));
      expect(text.match(copied)).toEqual(formatReport(report(groups), PLAIN).match(copied));
      expect(text).toMatch(/ a-ver\S*\.\.\.\S*org:443 /);
      expect(text.includes('FIRST')).toBe(width >= 80);
    },
  );

  test('has colours if it wants them, and the text is the same', () => {
    const plain = formatReport(report(groups), PLAIN);
    const painted = formatReport(report(groups), { ...PLAIN, colour: true });
    expect(plain).not.toContain('\u001b');
    expect(painted).toContain('\u001b[31mnot_allowed\u001b[0m');
    expect(painted.replaceAll(/\u001b\[\d+m/g, '')).toBe(plain);
  });
});

describe('a row for those who follow', () => {
  test.each([
    [
      group({ host: 'a.test' }),
      1,
      true,
      /^12:00:00 {2}deny {8}a\.test:443 +not_allowed\n {7}to allow it: EGRESS_ALLOW_A_TEST=a\.test\n$/,
    ],
    [group({}), 1, false, /^12:00:00 {2}deny {8}hf\.co:443 +not_allowed\n$/],
    [group({}), 40, false, /not_allowed {2}\(40 times\)\n$/],
    [group(ALLOWED), 1, true, /^12:00:00 {2}allow {7}hf\.co:443 +MODELS hf\.co\n$/],
    [group({ host: 'api.gradio.app' }), 1, true, /not_allowed\n {7}Gradio's /],
  ])('%#', (one, count, isNew, row) => {
    expect(formatRow(one, count, isNew, PLAIN)).toMatch(row);
  });
});
