import { describe, expect, test } from 'vitest';
import { findRule, parseRule, RuleError } from '../src/policy/rules.ts';
import { parseAuthority } from '../src/policy/target.ts';

function matches(rule: string, target: string, list: 'allow' | 'deny' = 'allow'): boolean {
  return findRule([parseRule(rule, list, null)], parseAuthority(target)) !== undefined;
}

describe('what a rule matches', () => {
  test.each([
    ['hf.co', 'hf.co:443', true],
    ['hf.co', 'HF.CO.:443', true],
    ['HF.co.', 'hf.co:443', true],
    ['hf.co', 'hf.co:80', false],
    ['hf.co', 'a.hf.co:443', false],
    ['hf.co', 'xhf.co:443', false],
    ['hf.co:80', 'hf.co:80', true],
    ['hf.co:80', 'hf.co:443', false],
    ['hf.co:*', 'hf.co:1', true],
    ['*.hf.co', 'a.hf.co:443', true],
    ['*.hf.co', 'us.aws.cdn.hf.co:443', true],
    ['*.hf.co', 'hf.co:443', false],
    ['*.hf.co', 'xhf.co:443', false],
    ['*.hf.co', 'a.hf.co.evil.com:443', false],
    ['*.hf.co', 'a.hf.co:80', false],
    ['*.hf.co:*', 'a.hf.co:80', true],
    ['bücher.example', 'xn--bcher-kva.example:443', true],
    ['192.0.2.7', '192.0.2.7:443', true],
    ['192.0.2.7:443', '[::ffff:192.0.2.7]:443', true],
    ['192.0.2.7:*', '192.0.2.7:22', true],
    ['198.51.100.0/24:443', '198.51.100.255:443', true],
    ['198.51.100.0/24:443', '198.51.101.0:443', false],
    ['198.51.100.0/24', '198.51.100.1:80', false],
    ['[2001:db8::1]:443', '[2001:db8:0::1]:443', true],
    ['[2001:db8::]/32:443', '[2001:db8:1::1]:443', true],
    ['[2001:db8::]/32', '[2001:db9::1]:443', false],
    ['8.8.8.8', '[64:ff9b::808:808]:443', false],
    ['10.0.0.0/8', '[2002:a00:1::1]:443', false],
    ['dns.example', '8.8.8.8:443', false],
  ])('%s and %s: %s', (rule, target, expected) => {
    expect(matches(rule, target)).toBe(expected);
  });

  test('a deny rule without a port covers every port, one with a port that port', () => {
    expect(matches('hf.co', 'hf.co:22', 'deny')).toBe(true);
    expect(matches('hf.co:80', 'hf.co:22', 'deny')).toBe(false);
  });

  test.each(['[64:ff9b::808:808]:443', '[2002:808:808::1]:22', '[::8.8.8.8]:80'])(
    'a deny rule covers %s, which carries its address',
    (target) => expect(matches('8.8.8.0/24', target, 'deny')).toBe(true),
  );

  test('the label has the group and the text as it was written', () => {
    expect(parseRule('*.HF.co', 'allow', 'MODELS').label).toBe('MODELS *.HF.co');
    expect(parseRule('hf.co', 'allow', null).label).toBe('hf.co');
  });
});

test.each([
  'bücher.example',
  'bu\u0308cher.example',
  'пример.example',
  'яндекс.example',
  'παράδειγμα.example',
  '例え.example',
  'カタカナと漢字abc.example',
  '한국어.example',
  '中文abc.example',
  'col·lectiu.example',
  'ไทย.example',
  'தமிழ்.example',
  'straße.example',
  'xn--80ak6aa92e.com',
  'a_b-1.example',
])('an international name of one script is a rule: %s', (name) => {
  expect(parseRule(name, 'allow', null).match.kind).toBe('name');
});

test('what stays closed may be denied, and lie within what is allowed', () => {
  expect(parseRule('169.254.169.254', 'deny', null).match.kind).toBe('network');
  expect(parseRule('168.0.0.0/8', 'allow', null).match.kind).toBe('network');
});

describe('what is no rule', () => {
  test.each([
    ['*', /every host/],
    ['*:443', /every host/],
    ['*.com', /public suffix/],
    ['*.co.uk', /public suffix/],
    ['*.github.io', /public suffix/],
    ['*.COM.', /public suffix/],
    ['*.*', /whole labels/],
    ['a*.example.org', /whole labels/],
    ['a.*.example.org', /whole labels/],
    ['*example.org', /whole labels/],
    ['*.192.0.2.7', /whole labels/],
    ['https://hf.co/x', /without scheme/],
    ['hf.co/x', /without a path/],
    ['198.51.100.7/24:8080', /did you mean 198\.51\.100\.0\/24:8080/],
    ['hf.co/24', /only an address/],
    ['hf.co:0', /port/],
    ['hf.co:65536', /port/],
    ['hf.co:', /host, host:port/],
    ['hf.co:http', /a number; did you mean hf\.co:80\?/],
    ['hf.co:HTTPS', /did you mean hf\.co\?/],
    ['user@hf.co', /without a user/],
    ['é%2eorg', /host name/],
    ['é?x', /host name/],
    ['é#c.example', /host name/],
    ['a\nb.example', /host name/],
    ['hf..co', /host name/],
    ['127.1', /host name/],
    ['2130706433', /host name/],
    ['[hf.co]', /host name/],
    ['2001:db8::1', /needs brackets: \[2001:db8::1\]/],
    ['[2001:db8::/32]', /behind the brackets/],
    ['[2001:db8::1]/32', /did you mean \[2001:db8::\]\/32/],
    ['198.51.100.7/24', /did you mean 198\.51\.100\.0\/24/],
    ['198.51.100.0/33', /prefix/],
    ['[2001:db8::]/129', /prefix/],
    ['0.0.0.0/0', /every address/],
    ['[::]/0', /every address/],
    ['<script>', /host name/],
    ['hf\u200b.co', /U\+200B is invisible/],
    ['hf\u00ad.co', /U\+00AD is invisible/],
    ['https://hf.co/', /did you mean hf\.co\?/],
    ['http://hf.co', /did you mean hf\.co:80\?/],
    ['https://me:x@hf.co:8443/a?b', /did you mean hf\.co:8443\?/],
    ['https://hf.co:443', /did you mean hf\.co\?/],
    ['hf.co:443/x', /did you mean hf\.co:443\?/],
    ['a;*.hf.co', /separated by spaces or commas; did you mean a \*\.hf\.co\?/],
    ['*.hf.co;b.example', /did you mean \*\.hf\.co b\.example\?/],
    ['a.example|b.example:80', /did you mean a\.example b\.example:80\?/],
    ['2001:db8::/32', /did you mean \[2001:db8::\]\/32\?/],
    ['2001:db8::/32:443', /did you mean \[2001:db8::\]\/32:443\?/],
    ['443', /a port alone is no rule/],
    ['.hf.co', /did you mean \*\.hf\.co for every host below it, or hf\.co for that host\?/],
    ['hf.co:8000-8010', /did you mean hf\.co:8000 hf\.co:8010, or hf\.co:\*\?/],
    ['hf.co:80:443', /did you mean hf\.co:80 hf\.co:443/],
    ['“hf.co”', /“ \(U\+201C\) is a typographic quote/],
    ['models–x.hf.co', /– \(U\+2013\) is a typographic dash; write -/],
    ['ｈf.co', /\(U\+FF48\) is a full-width character/],
    ['hf。co', /\(U\+3002\) looks like a dot/],
    ['ﬁle.example', /ﬁ \(U\+FB01\) stands for fi/],
    ['huggingf\u0430ce.co', /\u0430 \(U\+0430\) is Cyrillic, among Latin letters/],
    ['*.hugging\u0192\u03b1ce.co', /U\+03B1\) is Greek/],
    ['\u0440\u0430\u0443\u0440\u0430l.example', /l \(U\+006C\) is Latin, among Cyrillic/],
    ['\u0430\u0440\u0440\u04cf\u0435.com', /all letters of .* are Cyrillic and look like Latin/],
    ['ex☃mple.org', /no host name has the character ☃/],
  ])('%s', (text, message) => {
    expect(() => parseRule(text, 'allow', null)).toThrow(RuleError);
    expect(() => parseRule(text, 'allow', null)).toThrow(message);
  });
});
