import { describe, expect, test } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { parseEnvFile } from '../src/config/env-file.ts';
import { formatAllowLines } from '../src/report/allow-lines.ts';
import { remedyFor } from '../src/report/remedies.ts';
import { type Tallied, Tally } from '../src/report/tally.ts';
import { DENIED } from './helpers/decisions.ts';

const TIME = '2026-11-24T12:00:00.000Z';

/** The lines for denials. @param taken groups of the file. */
function linesFor(denials: Partial<Tallied>[], taken: string[] = []): string[] {
  const tally = new Tally();
  for (const denial of denials) tally.add({ ...DENIED, ...denial }, TIME);
  const known = { policy: null, taken: new Set(taken) };
  const groups = tally.groups().map((group) => ({ ...group, remedy: remedyFor(group, known) }));
  const text = formatAllowLines(groups, known.taken);
  if (text === '') return [];
  // The file that it is appended to may end without a newline.
  expect(text).toMatch(/^\n[^\n].*\n$/s);
  return text.split('\n').slice(1, -1);
}

const hosts = (...names: string[]) => names.map((host) => ({ host }));

describe('denied --lines', () => {
  test.each<[string, Partial<Tallied>[], string[]]>([
    ['nothing', [], []],
    ['one host', hosts('models.test'), ['EGRESS_ALLOW_MODELS_TEST=models.test']],
    [
      'a look-up and its connection once',
      [{ host: 'models.test' }, { host: 'models.test', port: null, via: 'dns' }],
      ['EGRESS_ALLOW_MODELS_TEST=models.test'],
    ],
    [
      'other ports apart',
      [{ host: 'models.test' }, { host: 'models.test', port: 80 }],
      ['EGRESS_ALLOW_MODELS_TEST=models.test', 'EGRESS_ALLOW_MODELS_TEST_80=models.test:80'],
    ],
    [
      'all of Hugging Face for any of its hosts',
      hosts('huggingface.co', 'cdn-lfs-us-1.hf.co', 'cas-server.xethub.hf.co'),
      [
        'EGRESS_ALLOW_HUGGINGFACE=huggingface.co hf.co *.hf.co',
        'EGRESS_MAX_UPLOAD_HUGGINGFACE=256KiB',
      ],
    ],
    [
      'a wildcard for names that differ in their first label',
      hosts('cdn-1.models.test', 'cdn-2.models.test'),
      ['EGRESS_ALLOW_MODELS_TEST=*.models.test'],
    ],
    [
      'and in a later one',
      hosts('cdn.eu.models.test', 'cdn.us.models.test'),
      ['EGRESS_ALLOW_MODELS_TEST=*.models.test'],
    ],
    [
      'the apex beside it, in a group of another name',
      hosts('a.models.test', 'b.models.test', 'models.test'),
      ['EGRESS_ALLOW_MODELS_TEST=*.models.test', 'EGRESS_ALLOW_MODELS_TEST_2=models.test'],
    ],
    [
      'a wildcard of that port',
      [
        { host: 'a.models.test', port: 8443 },
        { host: 'b.models.test', port: 8443 },
      ],
      ['EGRESS_ALLOW_MODELS_TEST_8443=*.models.test:8443'],
    ],
    [
      'no wildcard over a public suffix',
      hosts('one.co.uk', 'two.co.uk', 'me.github.io', 'you.github.io'),
      [
        'EGRESS_ALLOW_ME_GITHUB_IO=me.github.io',
        'EGRESS_ALLOW_ONE_CO_UK=one.co.uk',
        'EGRESS_ALLOW_TWO_CO_UK=two.co.uk',
        'EGRESS_ALLOW_YOU_GITHUB_IO=you.github.io',
      ],
    ],
    ['an address', [{ host: '8.8.8.8' }], ['EGRESS_ALLOW_8_8_8_8=8.8.8.8:443']],
    [
      'what is not public as a comment, with its name',
      [
        { host: 'x.test' },
        { host: 'mirror.corp', reason: 'non_public_address', address: '10.20.30.40' },
      ],
      [
        'EGRESS_ALLOW_X_TEST=x.test',
        '# Not public addresses: take a # away only if the address is yours and whisper needs it.',
        '#EGRESS_ALLOW_MIRROR_CORP=mirror.corp 10.20.30.40:443',
      ],
    ],
    [
      'nothing for noise, loopback, metadata, attempts of verify, and what no rule opens',
      [
        { host: 'api.gradio.app' },
        { host: 'otel.pyannote.ai' },
        { host: '127.0.0.1', port: 9090, reason: 'not_allowed' },
        { host: '::1', port: 9090, reason: 'non_public_address', address: '::1' },
        { host: 'x.test', reason: 'non_public_address', address: '127.0.0.1' },
        { host: '169.254.169.254', reason: 'non_public_address', address: '169.254.169.254' },
        { host: '10.89.77.1', port: 22, reason: 'non_public_address', verify: true },
        { host: 'example.com', port: null, via: 'dns' },
        { host: 'y.test', reason: 'deny_rule', rule: 'y.test' },
        { host: 'x y', reason: 'bad_target', port: null },
        { host: null, port: null },
      ],
      [],
    ],
  ])('prints %s', (_, denials, lines) => {
    expect(linesFor(denials).sort()).toEqual([...lines].sort());
  });

  test('names no group that the file has, and none twice; the file takes them all', () => {
    const file = [
      'EGRESS_ALLOW=other.test',
      'EGRESS_ALLOW_MODELS_TEST=x.test',
      'EGRESS_ALLOW_HUGGINGFACE=hf.co',
    ];
    const lines = linesFor(
      [
        ...hosts('a.models.test', 'b.models.test', 'models.test', 'huggingface.co', 'a-b.test'),
        ...hosts('a.b.test', 'a_b.test', '8.8.8.8', '2606:4700::1'),
        { host: 'mirror.corp', reason: 'non_public_address', address: '10.20.30.40' },
      ],
      ['MODELS_TEST', 'HUGGINGFACE'],
    );
    const { assignments, faults } = parseEnvFile([...file, ...lines].join('\n'));
    expect(faults).toEqual([]);
    const env = Object.fromEntries(assignments.map(({ name, value }) => [name, value]));
    expect(Object.keys(env)).toHaveLength(
      file.length + lines.filter((line) => !line.startsWith('#')).length,
    );
    const { policy } = readConfig({ UPSTREAM: 'embedded', ...env }).egress;
    expect(policy.maxUpload.groups).toEqual({ HUGGINGFACE_2: 256 * 1024 });
  });
});
