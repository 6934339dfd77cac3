import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideLookup, type Policy } from '../src/policy/decide.ts';
import { parseRule } from '../src/policy/rules.ts';

function policy(allow: string, deny = '', mode: Policy['mode'] = 'enforce'): Policy {
  const rules = (text: string, list: 'allow' | 'deny') =>
    text.split(' ').flatMap((rule) => (rule === '' ? [] : [parseRule(rule, list, 'G')]));
  const maxUpload = { default: null, groups: {} };
  return { allow: rules(allow, 'allow'), deny: rules(deny, 'deny'), mode, maxUpload };
}

test.each([
  ['nothing is allowed', policy(''), 'deny not_allowed -'],
  ['the name is', policy('hf.co'), 'allow - G hf.co'],
  ['another name is', policy('a.hf.co *.hf.co xhf.co'), 'deny not_allowed -'],
  ['the name is, on another port only', policy('hf.co:8080'), 'allow - G hf.co:8080'],
  ['an address is', policy('10.0.0.0/8:* [::1]:443'), 'deny not_allowed -'],
  ['it is denied on every port', policy('hf.co', 'hf.co'), 'deny deny_rule G hf.co'],
  ['it is denied on every port, and not allowed', policy('', 'hf.co'), 'deny deny_rule G hf.co'],
  [
    'it is denied on the port that is allowed',
    policy('hf.co', 'hf.co:443'),
    'deny deny_rule G hf.co:443',
  ],
  ['it is denied on another port', policy('hf.co', 'hf.co:80'), 'allow - G hf.co'],
  [
    'it is allowed on every port, and denied on one',
    policy('hf.co:*', 'hf.co:443'),
    'allow - G hf.co:*',
  ],
  [
    'the second of two rules is not denied',
    policy('hf.co hf.co:80', 'hf.co:443'),
    'allow - G hf.co:80',
  ],
  ['it is denied on a port, and not allowed', policy('', 'hf.co:80'), 'deny not_allowed -'],
  ['report mode, not allowed', policy('', '', 'report'), 'would_deny not_allowed -'],
  ['report mode, allowed', policy('hf.co', '', 'report'), 'allow - G hf.co'],
  ['report mode, denied on every port', policy('', 'hf.co', 'report'), 'deny deny_rule G hf.co'],
  [
    'report mode, denied on the allowed port',
    policy('hf.co', 'hf.co:443', 'report'),
    'would_deny not_allowed -',
  ],
])('a look-up of hf.co, where %s', (_, rules, expected) => {
  const { decision, reason, rule } = decideLookup(rules, 'hf.co');
  expect(`${decision} ${reason ?? '-'} ${rule ?? '-'}`).toBe(expected);
});

test.each<[string, Policy, string, boolean]>([
  ['the suffix itself', policy('*.hf.co'), 'hf.co', true],
  ['above the suffix', policy('*.us.hf.co'), 'hf.co', true],
  ['the top-level domain', policy('*.hf.co'), 'co', true],
  ['beside the suffix', policy('*.hf.co'), 'xhf.co', false],
  ['above a name', policy('a.b.hf.co'), 'hf.co', true],
  ['right above a name', policy('a.b.hf.co'), 'b.hf.co', true],
  ['beside a name', policy('a.b.hf.co'), 'c.hf.co', false],
  ['below a name', policy('hf.co'), 'a.hf.co', false],
  ['nothing is allowed', policy(''), 'co', false],
  ['an address is', policy('10.0.0.0/8:*'), 'co', false],
  ['on another port', policy('*.hf.co:8080'), 'hf.co', true],
  ['all below is denied', policy('*.hf.co', '*.hf.co'), 'hf.co', false],
  ['all below is denied from above', policy('*.us.hf.co', '*.hf.co'), 'co', false],
  ['all below is denied on the port', policy('*.hf.co', '*.hf.co:443'), 'hf.co', false],
  ['all below is denied on another port', policy('*.hf.co', '*.hf.co:80'), 'hf.co', true],
  ['all below is denied on one port of many', policy('*.hf.co:*', '*.hf.co:443'), 'hf.co', true],
  ['a part below is denied', policy('*.hf.co', '*.us.hf.co'), 'hf.co', true],
  ['the one name below is denied', policy('a.hf.co', 'a.hf.co'), 'hf.co', false],
  ['the one name below is denied by a suffix', policy('a.hf.co', '*.hf.co:443'), 'hf.co', false],
  ['one of two names below is denied', policy('a.hf.co b.hf.co', 'a.hf.co'), 'hf.co', true],
  ['denied, with allowed names below', policy('*.hf.co', 'us.hf.co'), 'us.hf.co', true],
  ['denied, with all below', policy('*.hf.co', 'us.hf.co *.us.hf.co'), 'us.hf.co', false],
  ['report mode, denied alone', policy('', 'hf.co', 'report'), 'hf.co', true],
  ['report mode, denied with all below', policy('', 'hf.co *.hf.co', 'report'), 'hf.co', false],
  ['report mode, denied below on a port', policy('', 'hf.co *.hf.co:443', 'report'), 'hf.co', true],
])('a denied name exists if one below it is let through: %s', (_, rules, name, exists) => {
  const verdict = decideLookup(rules, name);
  expect(verdict.decision).toBe('deny');
  expect(verdict.hasNamesBelow ?? false).toBe(exists);
});

test('a name that exists by what is below it is exactly one above a name that is let through', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const port = fc.constantFrom('', ':443', ':80', ':*');
  const rule = fc
    .tuple(fc.constantFrom('', '*.'), name, port)
    .map(([star, host, end]) => `${star}${host}.test${end}`);
  const rules = fc.uniqueArray(rule, { maxLength: 4 });
  const mode = fc.constantFrom<Policy['mode']>('enforce', 'report');
  fc.assert(
    fc.property(rules, rules, mode, name, (allow, deny, mode, asked) => {
      const decided = policy(allow.join(' '), deny.join(' '), mode);
      const verdict = decideLookup(decided, `${asked}.test`);
      fc.pre(verdict.decision === 'deny');
      // No rule is longer than four labels, so whatever a suffix covers, it covers one of these.
      const below = namesOf(['a', 'b', 'c', 'x'], 5).filter((other) => other.endsWith(`.${asked}`));
      const exists = below.some(
        (other) => decideLookup(decided, `${other}.test`).decision !== 'deny',
      );
      expect(verdict.hasNamesBelow ?? false).toBe(exists);
    }),
    { numRuns: 300 },
  );
});

function namesOf(labels: string[], depth: number): string[] {
  if (depth === 0) return [];
  const shorter = namesOf(labels, depth - 1);
  return [...labels, ...labels.flatMap((label) => shorter.map((name) => `${label}.${name}`))];
}

test('a wildcard covers what is below it', () => {
  expect(decideLookup(policy('*.hf.co'), 'us.aws.cdn.hf.co').decision).toBe('allow');
  expect(decideLookup(policy('*.hf.co', '*.aws.cdn.hf.co'), 'us.aws.cdn.hf.co').decision).toBe(
    'deny',
  );
});
