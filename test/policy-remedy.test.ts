import { expect, test } from 'vitest';
import type { Verdict } from '../src/policy/decide.ts';
import { explainDenial, ruleFor } from '../src/policy/remedy.ts';
import { findRule, parseRule } from '../src/policy/rules.ts';
import { parseAuthority } from '../src/policy/target.ts';

test.each([
  ['huggingface.co:443', 'huggingface.co'],
  ['huggingface.co:80', 'huggingface.co:80'],
  ['192.0.2.7:443', '192.0.2.7:443'],
  ['[2001:db8::1]:22', '[2001:db8::1]:22'],
])('the rule for %s is %s, and it matches', (text, rule) => {
  const target = parseAuthority(text);
  expect(ruleFor(target)).toBe(rule);
  expect(findRule([parseRule(rule, 'allow', null)], target)).toBeDefined();
});

test.each<[Partial<Verdict>, string, RegExp, RegExp]>([
  [{ reason: 'not_allowed' }, 'hf.co:80', /EGRESS_ALLOW_HF_CO_80=hf\.co:80$/, /EGRESS_DENY/],
  [{ reason: 'deny_rule', rule: 'X hf.co' }, 'hf.co:80', /"X hf\.co".*EGRESS_DENY/, /EGRESS_ALLOW/],
  [
    { reason: 'non_public_address' },
    '10.0.0.1:80',
    /EGRESS_ALLOW_10_0_0_1_80=10\.0\.0\.1:80$/,
    /never/,
  ],
  [{ reason: 'non_public_address' }, '127.0.0.1:80', /the proxy itself/, /EGRESS_ALLOW/],
  [
    { reason: 'non_public_address', final: true },
    '169.254.0.1:80',
    /never reached/,
    /EGRESS_ALLOW/,
  ],
  [
    { reason: 'non_public_address', address: '10.0.0.1' },
    'hf.co:443',
    /whisper-proxy denied/,
    /10\.0\.0\.1/,
  ],
])('what is said of %j %s', (verdict, text, says, saysNot) => {
  const sentence = explainDenial(
    { decision: 'deny', reason: null, rule: null, ...verdict },
    parseAuthority(text),
  );
  expect(sentence).toMatch(says);
  expect(sentence).not.toMatch(saysNot);
});
