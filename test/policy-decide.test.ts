import { describe, expect, test } from 'vitest';
import { decideAddresses, decideTarget, type Policy } from '../src/policy/decide.ts';
import { parseRule } from '../src/policy/rules.ts';
import { parseAuthority } from '../src/policy/target.ts';

function policy(allow: string, deny = '', mode: Policy['mode'] = 'enforce'): Policy {
  const rules = (text: string, list: 'allow' | 'deny') =>
    text.split(' ').flatMap((rule) => (rule === '' ? [] : [parseRule(rule, list, 'G')]));
  const maxUpload = { default: null, groups: {} };
  return { allow: rules(allow, 'allow'), deny: rules(deny, 'deny'), mode, maxUpload };
}

const isForbidden = (address: string, port: number) => address === '127.0.0.1' && port === 3128;

function decide(rules: Policy, text: string, addresses: string[] = []) {
  const target = parseAuthority(text);
  const verdict = decideTarget(rules, target, isForbidden);
  const final =
    verdict.decision === 'deny' || target.kind === 'address'
      ? verdict
      : decideAddresses(rules, verdict, addresses, target.port, isForbidden);
  return `${final.decision} ${final.reason ?? '-'} ${final.rule ?? '-'}${final.final ? ' final' : ''}`;
}

describe('the decision', () => {
  test.each<[string, Policy, string, string[], string]>([
    ['nothing is allowed by an empty allowlist', policy(''), 'hf.co:443', [], 'deny not_allowed -'],
    ['nor an address', policy(''), '8.8.8.8:443', [], 'deny not_allowed -'],
    [
      'an allowed name with a public address',
      policy('hf.co'),
      'hf.co:443',
      ['8.8.8.8'],
      'allow - G hf.co',
    ],
    ['the wrong port', policy('hf.co'), 'hf.co:80', [], 'deny not_allowed -'],
    [
      'deny wins',
      policy('*.hf.co', 'cdn.hf.co'),
      'cdn.hf.co:443',
      [],
      'deny deny_rule G cdn.hf.co',
    ],
    [
      'deny wins over an address',
      policy('8.8.8.8', '8.8.8.0/24'),
      '8.8.8.8:443',
      [],
      'deny deny_rule G 8.8.8.0/24',
    ],
    [
      'a deny rule for an address covers names that resolve to it',
      policy('hf.co', '8.8.8.0/24'),
      'hf.co:443',
      ['1.1.1.1', '8.8.8.8'],
      'deny deny_rule G 8.8.8.0/24',
    ],
    [
      'an address is not matched by a name',
      policy('hf.co'),
      '8.8.8.8:443',
      [],
      'deny not_allowed -',
    ],
    [
      'a name is not matched by the address it has',
      policy('8.8.8.8'),
      'hf.co:443',
      ['8.8.8.8'],
      'deny not_allowed -',
    ],
    ['a private address', policy('hf.co'), 'hf.co:443', ['10.0.0.1'], 'deny non_public_address -'],
    [
      'a private address among public ones',
      policy('hf.co'),
      'hf.co:443',
      ['8.8.8.8', '10.0.0.1'],
      'deny non_public_address -',
    ],
    [
      'a private address that a rule covers',
      policy('hf.co 10.0.0.0/8'),
      'hf.co:443',
      ['10.0.0.1'],
      'allow - G hf.co',
    ],
    [
      'covered on another port only',
      policy('hf.co 10.0.0.0/8:80'),
      'hf.co:443',
      ['10.0.0.1'],
      'deny non_public_address -',
    ],
    [
      'a literal private address without a rule',
      policy(''),
      '10.0.0.1:443',
      [],
      'deny non_public_address -',
    ],
    [
      'a literal private address with one',
      policy('10.0.0.1'),
      '10.0.0.1:443',
      [],
      'allow - G 10.0.0.1',
    ],
    [
      'link-local, covered all the same',
      policy('169.254.0.0/16:*'),
      '169.254.169.254:80',
      [],
      'deny non_public_address - final',
    ],
    [
      'metadata behind a name',
      policy('hf.co 169.254.0.0/16'),
      'hf.co:443',
      ['169.254.169.254'],
      'deny non_public_address - final',
    ],
    [
      'metadata in IPv6 clothes',
      policy('[::]/1:* [64:ff9b::]/96'),
      '[64:ff9b::a9fe:a9fe]:443',
      [],
      'deny non_public_address - final',
    ],
    [
      'a public address in NAT64',
      policy('hf.co'),
      'hf.co:443',
      ['64:ff9b::808:808'],
      'allow - G hf.co',
    ],
    [
      'a private one in NAT64',
      policy('hf.co'),
      'hf.co:443',
      ['64:ff9b::a00:1'],
      'deny non_public_address -',
    ],
    [
      'the proxy itself, covered all the same',
      policy('127.0.0.0/8:*'),
      '127.0.0.1:3128',
      [],
      'deny non_public_address - final',
    ],
    [
      'the proxy itself behind a name',
      policy('me.example:* 127.0.0.0/8:*'),
      'me.example:3128',
      ['127.0.0.1'],
      'deny non_public_address - final',
    ],
    ['its neighbour', policy('127.0.0.0/8:*'), '127.0.0.1:3129', [], 'allow - G 127.0.0.0/8:*'],
    [
      'report mode lets through',
      policy('', '', 'report'),
      'hf.co:443',
      ['8.8.8.8'],
      'would_deny not_allowed -',
    ],
    [
      'report mode, a public address',
      policy('', '', 'report'),
      '8.8.8.8:443',
      [],
      'would_deny not_allowed -',
    ],
    [
      'report mode keeps deny rules',
      policy('', 'hf.co', 'report'),
      'hf.co:443',
      [],
      'deny deny_rule G hf.co',
    ],
    [
      'report mode keeps to public addresses',
      policy('', '', 'report'),
      'hf.co:443',
      ['10.0.0.1'],
      'deny non_public_address -',
    ],
    [
      'report mode, a private literal',
      policy('', '', 'report'),
      '10.0.0.1:443',
      [],
      'deny non_public_address -',
    ],
    [
      'report mode says allow where a rule does',
      policy('hf.co', '', 'report'),
      'hf.co:443',
      ['8.8.8.8'],
      'allow - G hf.co',
    ],
  ])('%s', (_what, rules, target, addresses, expected) => {
    expect(decide(rules, target, addresses)).toBe(expected);
  });

  test('the address that was denied is told', () => {
    const rules = policy('hf.co');
    const verdict = decideTarget(rules, parseAuthority('hf.co:443'), isForbidden);
    const final = decideAddresses(rules, verdict, ['8.8.8.8', '10.0.0.1'], 443, isForbidden);
    expect(final.address).toBe('10.0.0.1');
  });
});
