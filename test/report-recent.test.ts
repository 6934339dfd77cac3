import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import type { Policy } from '../src/policy/decide.ts';
import { parseRule } from '../src/policy/rules.ts';
import { RecentDecisions } from '../src/report/recent.ts';
import { ALLOWED, DENIED } from './helpers/decisions.ts';

const START = Date.UTC(2026, 10, 24, 12, 0, 30);
const TOTALS = { bytes_out: 1, bytes_in: 2, duration_ms: 3 };

function policyOf(allow: string[], deny: string[] = []): Policy {
  return {
    allow: allow.map((text) => parseRule(text, 'allow', 'MODELS')),
    deny: deny.map((text) => parseRule(text, 'deny', null)),
    mode: 'enforce',
    maxUpload: { default: null, groups: {} },
  };
}

beforeEach(() => {
  vi.useFakeTimers({ now: START });
});
afterEach(() => {
  vi.useRealTimers();
});

test('it tells since when, under which rules, and what could be done', () => {
  const rules = new RulesInForce(policyOf(['hf.co']));
  const recent = new RecentDecisions(rules);
  vi.setSystemTime(START + 5000);
  recent.decided({ ...DENIED, host: 'cdn.hf.co' }, null);
  expect(recent.snapshot()).toMatchObject({
    since: '2026-11-24T12:00:30.000Z',
    config: rules.hash,
    mode: 'enforce',
    groups: [
      {
        host: 'cdn.hf.co',
        count: 1,
        last: '2026-11-24T12:00:35.000Z',
        remedy: { line: 'EGRESS_ALLOW_HUGGINGFACE=huggingface.co *.hf.co', noise: false },
      },
    ],
  });
});

test('a denial that the rules let through by now says so', () => {
  const rules = new RulesInForce(policyOf([]));
  const recent = new RecentDecisions(rules);
  recent.decided(DENIED, null);
  rules.replace(policyOf(['hf.co']));
  expect(recent.snapshot().groups[0]?.remedy).toEqual({
    line: null,
    limit: null,
    text: 'allowed by now, by the rule "MODELS hf.co"',
    noise: false,
  });
});

describe('the use of rules', () => {
  test('counts every rule in force, the unused ones too, with what is allowed for a time last', () => {
    const rules = new RulesInForce(policyOf(['hf.co', 'unused.test'], ['evil.test']));
    rules.setTimed([
      {
        rule: parseRule('later.test', 'allow', 'timed'),
        until: START + 60_000,
        deadline: Infinity,
      },
    ]);
    const recent = new RecentDecisions(rules);
    recent.decided(ALLOWED, null);
    recent.decided(ALLOWED, null);
    recent.decided({ ...DENIED, reason: 'deny_rule', rule: 'evil.test', host: 'evil.test' }, null);
    const last = '2026-11-24T12:00:30.000Z';
    const since = last;
    expect(recent.snapshot().rules).toEqual([
      { list: 'allow', label: 'MODELS hf.co', used: 2, last, until: null, since },
      { list: 'allow', label: 'MODELS unused.test', used: 0, last: null, until: null, since },
      { list: 'deny', label: 'evil.test', used: 1, last, until: null, since },
      {
        list: 'allow',
        label: 'timed later.test',
        used: 0,
        last: null,
        until: '2026-11-24T12:01:30.000Z',
        since,
      },
    ]);
  });

  test('tells since when a rule is in force: a reload that keeps it changes nothing', () => {
    const rules = new RulesInForce(policyOf(['hf.co', 'gone.test']));
    const recent = new RecentDecisions(rules);
    const sinces = () =>
      Object.fromEntries(recent.snapshot().rules.map(({ label, since }) => [label, since]));
    const [start, later] = ['2026-11-24T12:00:30.000Z', '2026-11-24T13:00:30.000Z'];
    vi.setSystemTime(START + 3_600_000);
    rules.replace(policyOf(['hf.co', 'new.test']));
    expect(sinces()).toEqual({ 'MODELS hf.co': start, 'MODELS new.test': later });
    vi.setSystemTime(START + 7_200_000);
    rules.replace(policyOf(['hf.co', 'new.test', 'gone.test']));
    expect(sinces()).toMatchObject({
      'MODELS new.test': later,
      'MODELS gone.test': '2026-11-24T14:00:30.000Z',
    });
  });

  test.each([
    [
      'that leads to a host that is down counts',
      { ...ALLOWED, decision: 'deny', reason: 'connect_failed' },
      null,
      1,
    ],
    [
      'of a connection that is ended later was counted when it began',
      { ...ALLOWED, decision: 'deny', reason: 'no_sni' },
      TOTALS,
      0,
    ],
  ] as const)('%s', (_, record, totals, used) => {
    const recent = new RecentDecisions(new RulesInForce(policyOf(['hf.co'])));
    recent.decided(record, totals);
    expect(recent.snapshot().rules[0]?.used).toBe(used);
  });

  test('counts the address rule that opens a name, beside the rule of the name', () => {
    const rules = new RulesInForce(policyOf(['hf.co', '10.0.0.0/8:443', '10.0.0.7:80']));
    const recent = new RecentDecisions(rules);
    recent.decided({ ...ALLOWED, address: '10.0.0.7' }, null);
    expect(recent.snapshot().rules.map(({ used }) => used)).toEqual([1, 1, 0]);
  });

  test('goes with the rule, and comes back with it', () => {
    const rules = new RulesInForce(policyOf(['hf.co']));
    const recent = new RecentDecisions(rules);
    recent.decided(ALLOWED, null);
    rules.replace(policyOf([]));
    expect(recent.snapshot().rules).toEqual([]);
    rules.replace(policyOf(['hf.co']));
    expect(recent.snapshot().rules[0]?.used).toBe(1);
  });
});

describe('the last hour', () => {
  test('is sixty minutes, the running one last, what was let through in report mode as allowed', () => {
    const recent = new RecentDecisions(new RulesInForce(policyOf([])));
    recent.decided(ALLOWED, null);
    recent.decided({ ...DENIED, decision: 'would_deny' }, null);
    recent.decided(DENIED, null);
    recent.decided({ ...DENIED, event: 'ingress' }, null);
    vi.setSystemTime(START + 60_000);
    recent.decided(DENIED, null);
    const { minutes } = recent.snapshot();
    expect(minutes).toHaveLength(60);
    expect(minutes[0]).toEqual({ at: '2026-11-24T11:02:00.000Z', allow: 0, deny: 0 });
    expect(minutes.slice(-2)).toEqual([
      { at: '2026-11-24T12:00:00.000Z', allow: 2, deny: 1 },
      { at: '2026-11-24T12:01:00.000Z', allow: 0, deny: 1 },
    ]);
  });

  test('a connection that is let through and then ended counts in both', () => {
    const recent = new RecentDecisions(new RulesInForce(policyOf([])));
    recent.decided(ALLOWED, null);
    recent.decided({ ...ALLOWED, decision: 'deny', reason: 'upload_limit' }, TOTALS);
    expect(recent.snapshot().minutes.at(-1)).toMatchObject({ allow: 1, deny: 1 });
    expect(
      recent
        .snapshot()
        .groups.map(({ decision }) => decision)
        .sort(),
    ).toEqual(['allow', 'deny']);
  });

  test('forgets what is older, and what a clock that was set back has not reached', () => {
    const recent = new RecentDecisions(new RulesInForce(policyOf([])));
    const sum = () => recent.snapshot().minutes.reduce((all, { deny }) => all + deny, 0);
    recent.decided(DENIED, null);
    vi.setSystemTime(START + 59 * 60_000);
    expect(sum()).toBe(1);
    vi.setSystemTime(START + 60 * 60_000);
    recent.decided(DENIED, null);
    expect(sum()).toBe(1);
    vi.setSystemTime(START);
    recent.decided(DENIED, null);
    expect(sum()).toBe(1);
    vi.setSystemTime(START + 60 * 60_000);
    expect(sum()).toBe(0);
  });
});
