import { expect, test } from 'vitest';
import { LONGEST_LINE } from '../src/log/bounded-lines.ts';
import { logLists } from '../src/log/lists.ts';
import { createLogger } from '../src/log/logger.ts';
import { startProxy } from './helpers/proxy.ts';

type Line = Record<string, unknown> & { allow?: string[]; deny?: string[] };

function logTo(texts: string[]) {
  return createLogger('info', { write: (text) => texts.push(text) });
}

const longest = (texts: string[]) => Math.max(...texts.map((text) => Buffer.byteLength(text)));

test('short lists are one line', () => {
  const texts: string[] = [];
  const parts = {
    tie: { config: 'abc' },
    fields: { mode: 'enforce' },
    lists: { allow: ['hf.co'], deny: [] },
  };
  logLists(logTo(texts), 'info', parts, 'listening');
  expect(texts.map((text) => JSON.parse(text))).toMatchObject([
    { config: 'abc', mode: 'enforce', allow: ['hf.co'], deny: [], msg: 'listening' },
  ]);
  expect(texts[0]).not.toContain('"part"');
});

test.each([
  ['2,000 rules', Array.from({ length: 2_000 }, (_, i) => `MODELS host-${i}.models.example.org`)],
  ['long ones', Array.from({ length: 60 }, (_, i) => `G${i} ${'x'.repeat(950)}`)],
  ['what takes more bytes in JSON', Array.from({ length: 90 }, () => '\u00e9"\\'.repeat(80))],
])('of %s, every one is in some line, none of which is 8 KiB long', (_, rules) => {
  const texts: string[] = [];
  const parts = {
    tie: { config: 'abc' },
    fields: { mode: 'enforce' },
    lists: { allow: rules, deny: rules.slice(0, 9) },
  };
  logLists(logTo(texts), 'info', parts, 'listening');
  const lines = texts.map((text) => JSON.parse(text) as Line);
  expect(longest(texts)).toBeLessThan(8_192);
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.flatMap(({ allow }) => allow ?? [])).toEqual(rules);
  expect(lines.flatMap(({ deny }) => deny ?? [])).toEqual(rules.slice(0, 9));
  for (const [index, line] of lines.entries()) {
    expect(line).toMatchObject({ config: 'abc', part: index + 1, parts: lines.length });
  }
  expect(lines[0]).toMatchObject({ mode: 'enforce', msg: 'listening' });
});

test('a reload of many rules keeps its lines short', async () => {
  const proxy = await startProxy();
  const rules = Array.from({ length: 2_000 }, (_, i) => `host-${i}.models.example.org`);
  proxy.reload({ EGRESS_ALLOW: rules.join(' ') });
  expect(longest(proxy.texts)).toBeLessThan(8_192);
  const lines = proxy.events('reload') as Line[];
  expect(lines.flatMap(({ allow }) => allow ?? [])).toEqual(rules);
  expect(new Set(lines.map(({ config }) => config)).size).toBe(1);
});

test('any other line that gets too long is cut where it is long, and stays JSON', () => {
  const texts: string[] = [];
  const logger = logTo(texts);
  logger.error({ err: new Error('x'.repeat(20_000)), client: '10.89.77.3' }, 'it failed');
  logger.warn({ event: 'e', list: Array(3_000).fill('\u20ac') }, 'y'.repeat(9_000));
  logger.info(
    Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`field${i}`, 'z'.repeat(50)])),
    'many',
  );
  expect(longest(texts)).toBeLessThanOrEqual(LONGEST_LINE);
  const lines = texts.map((text) => JSON.parse(text) as Line);
  expect(lines[0]).toMatchObject({
    level: 'error',
    msg: 'it failed',
    client: '10.89.77.3',
    cut: true,
  });
  expect(lines[1]).toMatchObject({ level: 'warn', event: 'e', cut: true });
  expect(lines[2]).toMatchObject({ level: 'info', msg: 'many', cut: true });
});
