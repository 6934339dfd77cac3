import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import { TimedAllows } from '../src/live/timed-allows.ts';
import { createLogger } from '../src/log/logger.ts';
import { decideTarget } from '../src/policy/decide.ts';
import { parseRule } from '../src/policy/rules.ts';
import { parseAuthority } from '../src/policy/target.ts';

const HALF_AN_HOUR = 1_800_000;

function start(deny = '') {
  const lines: Record<string, unknown>[] = [];
  const rules = new RulesInForce({
    allow: [],
    deny: deny === '' ? [] : [parseRule(deny, 'deny', null)],
    mode: 'enforce',
    maxUpload: { default: null, groups: {} },
  });
  const logger = createLogger('info', { write: (text) => lines.push(JSON.parse(text)) });
  const onEnd = vi.fn(() => ({ open_denied_now: 2 }));
  const timed = new TimedAllows(rules, logger, onEnd);
  const decide = (target: string) => {
    const verdict = decideTarget(rules.policy, parseAuthority(target), () => false);
    return `${verdict.decision} ${verdict.rule ?? verdict.reason}`;
  };
  return { rules, timed, lines, onEnd, decide };
}

describe('what is allowed for a time', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('is let through, and no longer when the time is over', () => {
    const { timed, decide, lines, onEnd } = start();
    const until = timed.allow(['hf.co', '*.hf.co'], HALF_AN_HOUR);
    expect(until.getTime()).toBe(Date.now() + HALF_AN_HOUR);
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    expect(decide('a.hf.co:443')).toBe('allow timed *.hf.co');
    expect(decide('hf.co:80')).toBe('deny not_allowed');
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    vi.advanceTimersByTime(1);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
    expect(onEnd).toHaveBeenCalled();
    expect(lines).toMatchObject([
      { event: 'timed_allow', rules: ['hf.co', '*.hf.co'], until: until.toISOString() },
      { event: 'timed_allow_end', rules: ['hf.co'], open_denied_now: 2 },
      { event: 'timed_allow_end', rules: ['*.hf.co'] },
    ]);
  });

  test('stays when the configuration changes, and is not part of its hash', () => {
    const { rules, timed, decide } = start();
    const { hash } = rules;
    timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(rules.hash).toBe(hash);
    rules.replace({ ...rules.policy, allow: [parseRule('other.example', 'allow', null)] });
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    expect(decide('other.example:443')).toBe('allow other.example');
  });

  test('begins anew when it is allowed again', () => {
    const { rules, timed, decide } = start();
    timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(rules.timed).toHaveLength(1);
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    vi.advanceTimersByTime(1);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
  });

  test('does not win over a deny rule', () => {
    const { timed, decide } = start('hf.co');
    timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(decide('hf.co:443')).toBe('deny hf.co');
  });

  test('is all of it, or nothing', () => {
    const { rules, timed, lines } = start();
    expect(() => timed.allow(['hf.co', '*.com'], HALF_AN_HOUR)).toThrow(/public suffix/);
    expect(rules.timed).toEqual([]);
    expect(lines).toEqual([]);
  });

  test('is over when its time is, also where the machine has slept and no timer has run', () => {
    const { timed, decide } = start();
    timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.setSystemTime(Date.now() + HALF_AN_HOUR);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
  });

  test('leaves no timer behind', () => {
    const { timed } = start();
    timed.allow(['hf.co', 'b.example'], HALF_AN_HOUR);
    timed.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is bounded', () => {
    const { rules, timed } = start();
    const many = Array.from({ length: 100 }, (_, index) => `h${index}.example`);
    timed.allow(many, HALF_AN_HOUR);
    timed.allow(many.slice(0, 10), HALF_AN_HOUR);
    expect(() => timed.allow(['one.more.example'], HALF_AN_HOUR)).toThrow(/no more than 100/);
    expect(rules.timed).toHaveLength(100);
  });
});
