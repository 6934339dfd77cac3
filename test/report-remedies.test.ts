import { describe, expect, test } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { decideTarget, type Policy } from '../src/policy/decide.ts';
import { allowLine } from '../src/policy/remedy.ts';
import { parseAuthority } from '../src/policy/target.ts';
import { type Known, remedyFor, takenGroups } from '../src/report/remedies.ts';
import type { TalliedGroup } from '../src/report/snapshot.ts';
import { type Tallied, Tally } from '../src/report/tally.ts';
import { DENIED } from './helpers/decisions.ts';

const NOTHING: Known = { policy: null, taken: new Set() };

function group(difference: Partial<Tallied>): Readonly<TalliedGroup> {
  return new Tally().add({ ...DENIED, ...difference }, '2026-11-24T12:00:00.000Z');
}

function policyFrom(env: Record<string, string>): Policy {
  return readConfig({ UPSTREAM: 'embedded', ...env }).egress.policy;
}

function known(env: Record<string, string>): Known {
  const policy = policyFrom(env);
  return { policy, taken: takenGroups(policy.allow) };
}

function lineFor(difference: Partial<Tallied>, of: Known = NOTHING): string | null | undefined {
  return remedyFor(group(difference), of)?.line;
}

/** The environment with a line added, as an operator adds it to the file. */
function withLine(env: Record<string, string>, line: string | null | undefined) {
  const [name = '', value = ''] = (line ?? '').split(/=(.*)/s);
  if (name in env) throw new Error(`${name} stands there twice`);
  return { ...env, [name]: value };
}

describe('the line to add', () => {
  test.each<[Partial<Tallied>, string]>([
    [{ host: 'huggingface.co' }, 'EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co'],
    [{ host: 'huggingface.co', port: 80 }, 'EGRESS_ALLOW_HUGGINGFACE_CO_80=huggingface.co:80'],
    [{ host: 'cdn-lfs.hf.co' }, 'EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co'],
    [{ host: 'pypi.org' }, 'EGRESS_ALLOW_PYPI=pypi.org files.pythonhosted.org'],
    [{ host: 'cdn-1.a.test' }, 'EGRESS_ALLOW_CDN__1_A_TEST=cdn-1.a.test'],
    [{ host: 'a.test', via: 'dns', port: null }, 'EGRESS_ALLOW_A_TEST=a.test'],
    [{ host: 'a.test', decision: 'would_deny' }, 'EGRESS_ALLOW_A_TEST=a.test'],
    [{ host: '8.8.8.8' }, 'EGRESS_ALLOW_8_8_8_8=8.8.8.8:443'],
    [{ host: '2001:db8::1', port: 22 }, 'EGRESS_ALLOW_2001_DB8__1_22=[2001:db8::1]:22'],
    [
      { reason: 'non_public_address', host: '10.1.2.3', address: '10.1.2.3', port: 8080 },
      'EGRESS_ALLOW_10_1_2_3_8080=10.1.2.3:8080',
    ],
    [
      { reason: 'non_public_address', host: 'models.test', address: '10.1.2.3' },
      'EGRESS_ALLOW_MODELS_TEST=models.test 10.1.2.3:443',
    ],
  ])('%j: %s', (difference, line) => {
    expect(lineFor(difference)).toBe(line);
  });

  test.each([
    'huggingface.co:443',
    'hf.co:80',
    '8.8.8.8:443',
    '[2606:4700::1]:443',
    'xn--bcher-kva.example:443',
    '_a-b.test:8443',
  ])('for %s is taken as it is, beside what is there, and lets it through', (text) => {
    const target = parseAuthority(text);
    const env = { EGRESS_ALLOW: 'other.test', EGRESS_ALLOW_MODELS: '*.models.test' };
    const line = lineFor({ host: target.host, port: target.port }, known(env));
    const policy = policyFrom(withLine(env, line));
    expect(decideTarget(policy, target, () => false).decision).toBe('allow');
  });

  test('makes another group where its own is there already', () => {
    const env = { EGRESS_ALLOW_A_TEST: 'a.test:80', EGRESS_ALLOW_A_TEST_2: 'x.test' };
    const line = lineFor({ host: 'a.test' }, known(env));
    expect(line).toBe('EGRESS_ALLOW_A_TEST_3=a.test');
    policyFrom(withLine(env, line));
  });

  test('adds what is missing of a preset', () => {
    const env = { EGRESS_ALLOW_HUGGINGFACE: 'huggingface.co' };
    const remedy = remedyFor(group({ host: 'cas-server.xethub.hf.co' }), known(env));
    expect(remedy?.line).toBe('EGRESS_ALLOW_HUGGINGFACE_2=hf.co *.hf.co');
    expect(remedy?.limit).toBe('EGRESS_MAX_UPLOAD_HUGGINGFACE_2=256KiB');
    policyFrom(withLine(withLine(env, remedy?.line ?? null), remedy?.limit ?? null));
  });

  test('of a preset says what it is for, and has the line that keeps uploads out', () => {
    const remedy = remedyFor(group({ host: 'huggingface.co' }), NOTHING);
    expect(remedy?.text).toMatch(/^models from Hugging Face .*keeps recordings/);
    expect(remedy?.limit).toBe('EGRESS_MAX_UPLOAD_HUGGINGFACE=256KiB');
  });

  test.each(['openaipublic.azureedge.net', 'github.com', 'pypi.org', 'models.test'])(
    'of %s has no limit, where nobody uploads',
    (host) => {
      expect(remedyFor(group({ host }), NOTHING)).toMatchObject({ limit: null });
    },
  );

  test('all of them can be added together', () => {
    const targets = [
      'a-b.test:443',
      'a.b.test:443',
      'a_b.test:443',
      'a.b.test:80',
      '10.0.0.1:443',
      '10.0.0.1:80',
      '[fd00::a:1]:443',
    ];
    const lines = targets.map((text) => allowLine(parseAuthority(text)));
    expect(policyFrom(lines.reduce(withLine, {})).allow).toHaveLength(targets.length);
  });
});

describe('no line', () => {
  test.each<[Partial<Tallied>, RegExp]>([
    [{ reason: 'deny_rule', rule: 'BAD *.hf.co' }, /take \*\.hf\.co out of EGRESS_DENY_BAD$/],
    [{ reason: 'deny_rule', rule: 'hf.co' }, /take hf\.co out of EGRESS_DENY$/],
    [{ reason: 'non_public_address', address: '169.254.169.254' }, /closed under any rule/],
    [
      { reason: 'non_public_address', address: '10.89.77.3', final: true },
      /10\.89\.77\.3 is closed/,
    ],
    [{ reason: 'non_public_address' }, /not public/],
    [{ reason: 'bad_target', host: 'x y', port: null }, /no rule can cover it/],
    [{ reason: 'not_allowed', host: 'x y' }, /no rule can cover it/],
    [{ reason: 'not_allowed', host: null, port: null }, /many hosts/],
    [{ reason: 'sni_mismatch' }, /another server/],
    [{ reason: 'no_sni' }, /EGRESS_REQUIRE_SNI=false/],
    [{ reason: 'upload_limit', rule: 'HF hf.co' }, /EGRESS_MAX_UPLOAD_HF \(or EGRESS_MAX_UPLOAD\)/],
    [{ reason: 'upload_limit', rule: 'timed hf.co' }, /than EGRESS_MAX_UPLOAD lets/],
    [{ reason: 'too_many_connections' }, /EGRESS_MAX_CONNECTIONS/],
    [{ reason: 'dns_error', error: 'ENOTFOUND' }, /\(ENOTFOUND\), so look at the network/],
    [
      { reason: 'connect_failed', address: '192.0.2.1', error: 'ECONNREFUSED' },
      /192\.0\.2\.1 cannot be reached \(ECONNREFUSED\)/,
    ],
    [{ reason: 'client_not_allowed' }, /10\.89\.77\.3 is not in EGRESS_CLIENTS/],
    [{ event: 'ingress', reason: 'client_not_allowed' }, /INGRESS_CLIENTS/],
    [
      { reason: 'client_not_allowed', error: 'EAI_AGAIN' },
      /EGRESS_CLIENTS cannot be looked up \(EAI_AGAIN\), so 10\.89\.77\.3 may not have been rec/,
    ],
    [
      { event: 'ingress', reason: 'dns_error', host: 'session-manager', error: 'EAI_AGAIN' },
      /^session-manager in INGRESS_CLIENTS cannot be looked up \(EAI_AGAIN\).*the name server/,
    ],
    [{ event: 'ingress', reason: 'bad_target' }, /not a request for whisper/],
    [{ event: 'ingress', reason: 'foreign_redirect' }, /never passed on/],
    [{ host: 'api.gradio.app' }, /GRADIO_ANALYTICS_ENABLED=False/],
    [{ host: 'otel.pyannote.ai' }, /PYANNOTE_METRICS_ENABLED=false/],
    [{ host: '127.0.0.1', port: 9090 }, /127\.0\.0\.1 is the proxy itself/],
    [{ reason: 'non_public_address', address: '127.0.0.1' }, /the proxy itself/],
    [{ reason: 'non_public_address', host: '::1', address: '::1' }, /the proxy itself/],
    [{ host: '10.89.77.1', port: 22, verify: true }, /as whisper-proxy verify asks/],
    [{ host: 'closed.invalid', port: null, via: 'dns' }, /as whisper-proxy verify asks/],
    [{ host: 'checkip.amazonaws.com', port: 80 }, /GRADIO_ANALYTICS_ENABLED=False/],
  ])('for %j, and why', (difference, text) => {
    const remedy = remedyFor(group(difference), NOTHING);
    expect(remedy?.line).toBeNull();
    expect(remedy?.text).toMatch(text);
  });

  test('for what was allowed', () => {
    expect(
      remedyFor(group({ decision: 'allow', reason: null, rule: 'hf.co' }), NOTHING),
    ).toBeNull();
  });

  test.each<[Record<string, string>, string]>([
    [
      { EGRESS_ALLOW_HF: 'hf.co', EGRESS_MAX_UPLOAD_HF: '1KiB', EGRESS_MAX_UPLOAD: '1KiB' },
      'EGRESS_MAX_UPLOAD_HF lets',
    ],
    [{ EGRESS_ALLOW_HF: 'hf.co', EGRESS_MAX_UPLOAD: '1KiB' }, 'EGRESS_MAX_UPLOAD lets'],
  ])('for an upload, but the limit that counts under %j', (env, text) => {
    const remedy = remedyFor(group({ reason: 'upload_limit', rule: 'HF hf.co' }), known(env));
    expect(remedy?.text).toContain(text);
  });
});

test('noise is known at egress alone, and by its whole name', () => {
  expect(remedyFor(group({ host: 'api.gradio.app' }), NOTHING)?.noise).toBe(true);
  expect(remedyFor(group({ host: 'x.api.gradio.app' }), NOTHING)?.noise).toBe(false);
  const ingress = { event: 'ingress', reason: 'bad_target', host: 'api.gradio.app' } as const;
  expect(remedyFor(group(ingress), NOTHING)?.noise).toBe(false);
});

describe('attempts that look like those of verify', () => {
  test.each<[Partial<Tallied>, boolean]>([
    [{ verify: true, host: 'huggingface.co' }, true],
    [{ via: 'dns', port: null, host: 'example.com' }, true],
    [{ via: 'tls', host: 'closed.invalid' }, true],
    [{ via: 'tls', host: 'whisper-gate' }, true],
    [{ via: 'dns', port: null, host: `${'0a'.repeat(30)}.${'1b'.repeat(30)}.example.com` }, true],
    [{ via: 'dns', port: null, host: 'data.example.com' }, false],
    [{ via: 'connect', host: 'example.com' }, false],
    [{ via: 'dns', port: null, host: 'closed.invalid.evil.test' }, false],
    [{ event: 'ingress', reason: 'client_not_allowed', verify: true }, false],
  ])('%j: %s', (difference, isLike) => {
    expect(remedyFor(group(difference), NOTHING)?.verify ?? false).toBe(isLike);
  });

  test('are counted apart from others of the same host, so none hides behind the mark', () => {
    const tally = new Tally();
    const time = '2026-11-24T12:00:00.000Z';
    tally.add({ ...DENIED, host: 'evil.test' }, time);
    tally.add({ ...DENIED, host: 'evil.test', verify: true }, time);
    expect(tally.groups().map(({ verify, count }) => [verify, count])).toEqual(
      expect.arrayContaining([
        [undefined, 1],
        [true, 1],
      ]),
    );
  });
});

describe('rules that have changed since', () => {
  test.each<[Partial<Tallied>, Record<string, string>]>([
    [{}, { EGRESS_ALLOW: 'hf.co' }],
    [{ port: null, via: 'dns' }, { EGRESS_ALLOW: 'hf.co' }],
    [{ reason: 'deny_rule', rule: 'hf.co' }, { EGRESS_ALLOW: 'hf.co' }],
    [{ reason: 'non_public_address', address: '10.0.0.1' }, { EGRESS_ALLOW: 'hf.co 10.0.0.1' }],
  ])('allow %j under %j', (difference, env) => {
    const remedy = remedyFor(group(difference), known(env));
    expect(remedy).toMatchObject({ line: null, text: 'allowed by now, by the rule "hf.co"' });
  });

  test.each<[Partial<Tallied>, Record<string, string>]>([
    [{}, { EGRESS_ALLOW: 'hf.co', EGRESS_DENY: 'hf.co' }],
    [{}, { EGRESS_ALLOW: 'hf.co:80' }],
    [{}, { EGRESS_MODE: 'report' }],
    [{ reason: 'non_public_address', address: '10.0.0.1' }, { EGRESS_ALLOW: 'hf.co' }],
    [
      { reason: 'non_public_address', address: '127.0.0.1', final: true },
      { EGRESS_ALLOW: 'hf.co 127.0.0.1' },
    ],
    [{ reason: 'connect_failed', rule: 'hf.co' }, { EGRESS_ALLOW: 'hf.co' }],
    [{ event: 'ingress', reason: 'client_not_allowed' }, { EGRESS_ALLOW: 'hf.co' }],
  ])('do not allow %j under %j', (difference, env) => {
    expect(remedyFor(group(difference), known(env))?.text).not.toContain('allowed by now');
  });
});
