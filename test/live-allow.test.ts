import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import { TimedAllows } from '../src/live/timed-allows.ts';
import { createLogger } from '../src/log/logger.ts';
import { decideTarget } from '../src/policy/decide.ts';
import { parseRule } from '../src/policy/rules.ts';
import { parseAuthority } from '../src/policy/target.ts';

const HALF_AN_HOUR = 1_800_000;

function start(deny = '', names: Record<string, string[]> = {}) {
  const lines: Record<string, unknown>[] = [];
  const rules = new RulesInForce({
    allow: [],
    deny: deny === '' ? [] : [parseRule(deny, 'deny', null)],
    mode: 'enforce',
    maxUpload: { default: null, groups: {} },
  });
  const logger = createLogger('info', { write: (text) => lines.push(JSON.parse(text)) });
  const onEnd = vi.fn(() => ({ open_denied_now: 2 }));
  const resolve = async (name: string) => names[name] ?? ['8.8.8.8'];
  const isForbidden = (address: string) => address === '10.89.77.3';
  const timed = new TimedAllows({ rules, logger, resolve, isForbidden, onEnd });
  const decide = (target: string) => {
    const verdict = decideTarget(rules.policy, parseAuthority(target), () => false);
    return `${verdict.decision} ${verdict.rule ?? verdict.reason}`;
  };
  return { rules, timed, lines, onEnd, decide };
}

describe('what is allowed for a time', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('is let through, and no longer when the time is over', async () => {
    const { timed, decide, lines, onEnd } = start();
    const { until } = await timed.allow(['hf.co', '*.hf.co'], HALF_AN_HOUR);
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
      { event: 'timed_allow_end', rules: ['hf.co', '*.hf.co'], open_denied_now: 2 },
    ]);
  });

  test('stays when the configuration changes, and is not part of its hash', async () => {
    const { rules, timed, decide } = start();
    const { hash } = rules;
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(rules.hash).toBe(hash);
    rules.replace({ ...rules.policy, allow: [parseRule('other.example', 'allow', null)] });
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    expect(decide('other.example:443')).toBe('allow other.example');
  });

  test('begins anew when it is allowed again', async () => {
    const { rules, timed, decide } = start();
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(rules.timed).toHaveLength(1);
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    vi.advanceTimersByTime(1);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
  });

  test.each([
    ['hf.co', 'hf.co', /^the deny rule "hf\.co" wins over it$/],
    ['*.hf.co', '*.hf.co', /wins over it/],
    ['*.hf.co', 'a.hf.co', /wins over it/],
    ['*.hf.co', '*.a.hf.co', /wins over it/],
    ['hf.co:443', 'hf.co', /wins over it/],
    ['93.184.0.0/16', '93.184.1.1:443', /wins over it/],
    ['93.184.0.0/16', '93.184.1.0/24:443', /wins over it/],
    ['8.8.0.0/16', 'hf.co', /^the deny rule "8\.8\.0\.0\/16" covers its address 8\.8\.8\.8$/],
  ])('with the deny rule %s, %s stays denied, and is not taken', async (deny, rule, why) => {
    const { rules, timed, lines } = start(deny, { 'other.example': ['9.9.9.9'] });
    const { rules: allowed } = await timed.allow([rule, 'other.example'], HALF_AN_HOUR);
    expect(allowed).toMatchObject([
      { rule, allowed: false, why: expect.stringMatching(why) },
      { rule: 'other.example', allowed: true, why: null },
    ]);
    expect(rules.timed.map(({ rule: { label } }) => label)).toEqual(['timed other.example']);
    expect(lines).toMatchObject([{ event: 'timed_allow', rules: ['other.example'] }]);
  });

  test.each([
    ['x.hf.co', '*.hf.co'],
    ['*.x.hf.co', '*.hf.co'],
    ['hf.co:80', 'hf.co:*'],
    ['93.184.1.0/24', '93.184.0.0/16:443'],
  ])('with the deny rule %s, %s is allowed, but for that', async (deny, rule) => {
    const { timed } = start(deny);
    const { rules } = await timed.allow([rule], HALF_AN_HOUR);
    const why = `but not what the deny rule "${deny}" covers`;
    expect(rules).toMatchObject([{ allowed: true, why }]);
  });

  test.each([
    ['localhost', ['127.0.0.1'], /its address 127\.0\.0\.1 is the proxy's own loopback/],
    ['whisper-gate', ['10.89.77.3'], /its address 10\.89\.77\.3 is closed under any rule/],
    ['10.89.77.3:7860', [], /^it is closed under any rule/],
    ['metadata.example', ['169.254.169.254'], /closed under any rule/],
    ['mirror.corp:8080', ['10.20.30.40'], /allow both: mirror\.corp:8080 10\.20\.30\.40:8080$/],
    ['mirror.corp', ['8.8.8.8', 'fd00::1'], /allow both: mirror\.corp \[fd00::1\]:443$/],
  ])('%s, which is at %j, stays denied', async (rule, addresses, why) => {
    const { rules, timed } = start('', { [rule.split(':')[0] ?? '']: addresses });
    const { rules: allowed } = await timed.allow([rule], HALF_AN_HOUR);
    expect(allowed).toMatchObject([{ allowed: false, why: expect.stringMatching(why) }]);
    expect(rules.timed).toEqual([]);
  });

  test('a private name is allowed together with its address, in whatever order', async () => {
    const { timed } = start('', { 'mirror.corp': ['10.20.30.40'] });
    const { rules } = await timed.allow(['mirror.corp', '10.20.30.40'], HALF_AN_HOUR);
    expect(rules.map(({ allowed }) => allowed)).toEqual([true, true]);
  });

  test('a name that cannot be looked up is allowed, and that is told', async () => {
    const { timed } = start('', { 'hf.co': [] });
    const { rules } = await timed.allow(['hf.co'], HALF_AN_HOUR);
    expect(rules).toMatchObject([{ allowed: true, why: expect.stringContaining('ENODATA') }]);
  });

  test('ends early, however the rule is written, and all of it where none is named', async () => {
    const { timed, decide, lines } = start();
    await timed.allow(['hf.co', '*.hf.co', 'b.example:80'], HALF_AN_HOUR);
    expect(() => timed.end(['hf.co:80'])).toThrow(
      /^hf\.co:80: not allowed for a time; these are: hf\.co/,
    );
    expect(() => timed.end(['hf.co', 'c.example'])).toThrow(/c\.example/);
    expect(timed.end(['HF.co.:443'])).toEqual(['hf.co']);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
    expect(decide('a.hf.co:443')).toBe('allow timed *.hf.co');
    expect(timed.end([])).toEqual(['*.hf.co', 'b.example:80']);
    expect(timed.end([])).toEqual([]);
    expect(() => timed.end(['hf.co'])).toThrow(/nothing is/);
    expect(lines.slice(1)).toMatchObject([
      { event: 'timed_allow_end', rules: ['hf.co'], early: true, open_denied_now: 2 },
      { event: 'timed_allow_end', rules: ['*.hf.co', 'b.example:80'], early: true },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  describe('uploads', () => {
    const limits = { default: null, groups: { SMALL: 1024, BIG: 2048 } };
    const limited = (maxUpload = limits as { default: number | null; groups: object }) => {
      const started = start();
      const small = parseRule('small.example', 'allow', 'SMALL');
      const plain = parseRule('plain.example', 'allow', 'PLAIN');
      const policy = { ...started.rules.policy, allow: [small, plain] };
      started.rules.replace({ ...policy, maxUpload: maxUpload as typeof limits });
      const of = async (rule: string, asked: object) => {
        const { rules } = await started.timed.allow([rule], HALF_AN_HOUR, asked);
        const { policy } = started.rules;
        const target = parseAuthority(`${rule.replace('*.', 'a.')}:443`);
        const { maxUpload } = decideTarget(policy, target, () => false);
        expect(rules[0]?.maxUpload).toBe(maxUpload ?? null);
        expect(started.timed.list().at(-1)).toMatchObject({ rule });
        return maxUpload ?? null;
      };
      return { ...started, of };
    };

    test.each([
      ['hf.co', {}, null],
      ['hf.co', { group: 'SMALL' }, 1024],
      ['*.hf.co', { group: 'BIG' }, 2048],
      ['hf.co', { maxUpload: 512 }, 512],
      ['*.hf.co', { maxUpload: 4096, group: 'SMALL' }, 1024],
      ['hf.co', { maxUpload: 512, group: 'SMALL' }, 512],
      ['small.example', {}, 1024],
      ['small.example', { maxUpload: 4096 }, 1024],
    ])('%s with %j: the limit is %s', async (rule, asked, limit) => {
      expect(await limited().of(rule, asked)).toBe(limit);
    });

    test('EGRESS_MAX_UPLOAD holds where nothing else does, and a reload changes it', async () => {
      const { of, rules } = limited({ default: 100, groups: {} });
      expect(await of('hf.co', {})).toBe(100);
      expect(await of('*.hf.co', { group: 'PLAIN' })).toBe(100);
      expect(await of('b.example', { maxUpload: 200 })).toBe(200);
      rules.replace({ ...rules.policy, allow: [], maxUpload: { default: 50, groups: {} } });
      const { maxUpload } = decideTarget(rules.policy, parseAuthority('hf.co:443'), () => false);
      expect(maxUpload).toBe(50);
    });

    test.each(['NONE', 'PLAIN', 'constructor'])(
      'a group without a limit, %s, is refused, and nothing is allowed',
      async (group) => {
        const { timed, rules } = limited();
        const allowed = timed.allow(['hf.co'], HALF_AN_HOUR, { group });
        await expect(allowed).rejects.toThrow(`EGRESS_MAX_UPLOAD_${group}`);
        expect(rules.timed).toEqual([]);
      },
    );
  });

  test('is all of it, or nothing', async () => {
    const { rules, timed, lines } = start();
    await expect(timed.allow(['hf.co', '*.com'], HALF_AN_HOUR)).rejects.toThrow(/public suffix/);
    expect(rules.timed).toEqual([]);
    expect(lines).toEqual([]);
  });

  test('is over when its time is, also where the machine has slept and no timer has run', async () => {
    const { timed, decide } = start();
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.setSystemTime(Date.now() + HALF_AN_HOUR);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
  });

  test('is told no longer then, and its connections end a second later', async () => {
    const { timed, rules, lines, onEnd } = start();
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.setSystemTime(Date.now() + HALF_AN_HOUR);
    expect(rules.timed).toEqual([]);
    expect(timed.list()).toEqual([]);
    expect(onEnd).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(onEnd).toHaveBeenCalledOnce();
    expect(lines.at(-1)).toMatchObject({ event: 'timed_allow_end', rules: ['hf.co'] });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is over when its time is, also where the clock was set back meanwhile', async () => {
    const { timed, decide } = start();
    await timed.allow(['hf.co'], HALF_AN_HOUR);
    vi.setSystemTime(Date.now() - 10 * HALF_AN_HOUR);
    vi.advanceTimersByTime(HALF_AN_HOUR - 1);
    expect(decide('hf.co:443')).toBe('allow timed hf.co');
    vi.advanceTimersByTime(1);
    expect(decide('hf.co:443')).toBe('deny not_allowed');
  });

  test('leaves no timer behind', async () => {
    const { timed } = start();
    await timed.allow(['hf.co', 'b.example'], HALF_AN_HOUR);
    timed.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is bounded', async () => {
    const { rules, timed } = start();
    const many = Array.from({ length: 100 }, (_, index) => `h${index}.example`);
    await timed.allow(many, HALF_AN_HOUR);
    await timed.allow(many.slice(0, 10), HALF_AN_HOUR);
    await expect(timed.allow(['one.more.example'], HALF_AN_HOUR)).rejects.toThrow(
      /no more than 100/,
    );
    expect(rules.timed).toHaveLength(100);
  });
});
