import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PRESETS, presetFor } from '../src/policy/presets.ts';
import { parseRule } from '../src/policy/rules.ts';

const ENV = new URL('../quadlets/whisper-proxy/whisper-proxy.env', import.meta.url);
const README = new URL('../README.md', import.meta.url);

describe('the presets', () => {
  test('are the groups that whisper-proxy.env offers, with their limits', () => {
    const text = readFileSync(ENV, 'utf8');
    const offered = [...text.matchAll(/^#EGRESS_ALLOW_([A-Z]+)=(.+)$/gm)]
      // The example of an own mirror is none of ours.
      .filter(([, group]) => group !== 'MIRROR')
      .map(([, group, rules]) => {
        const limit = new RegExp(`^#EGRESS_MAX_UPLOAD_${group}=(.+)$`, 'm').exec(text);
        return { group, rules: rules?.split(' '), maxUpload: limit?.[1] ?? null };
      });
    expect(PRESETS.map(({ group, rules, maxUpload }) => ({ group, rules, maxUpload }))).toEqual(
      offered,
    );
  });

  test('wherever the README or the file allows Hugging Face, it is all of it', () => {
    for (const text of [ENV, README].map((file) => readFileSync(file, 'utf8'))) {
      const lists = [...text.matchAll(/EGRESS_ALLOW_HUGGINGFACE\w*=([^\n`]+)/g)];
      expect(lists.length).toBeGreaterThan(0);
      for (const [, rules] of lists) expect(rules).toBe('huggingface.co hf.co *.hf.co');
    }
  });

  test('are rules', () => {
    for (const { rules } of PRESETS) for (const rule of rules) parseRule(rule, 'allow', 'X');
  });

  test.each([
    ['huggingface.co', 'HUGGINGFACE'],
    ['hf.co', 'HUGGINGFACE'],
    ['cdn-lfs-us-1.hf.co', 'HUGGINGFACE'],
    ['cas-server.xethub.hf.co', 'HUGGINGFACE'],
    ['pypi.org', 'PYPI'],
    ['evil-hf.co', undefined],
    ['x.huggingface.co', undefined],
    ['azureedge.net', undefined],
  ])('%s belongs to %s', (name, group) => {
    expect(presetFor(name)?.group).toBe(group);
  });
});
