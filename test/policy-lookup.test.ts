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

test('a wildcard covers what is below it', () => {
  expect(decideLookup(policy('*.hf.co'), 'us.aws.cdn.hf.co').decision).toBe('allow');
  expect(decideLookup(policy('*.hf.co', '*.aws.cdn.hf.co'), 'us.aws.cdn.hf.co').decision).toBe(
    'deny',
  );
});
