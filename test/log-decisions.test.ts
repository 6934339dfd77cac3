import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DecisionLog, type DecisionRecord } from '../src/log/decision-log.ts';
import { createLogger } from '../src/log/logger.ts';
import { DENIED as RECORD } from './helpers/decisions.ts';

type Line = Record<string, unknown>;

const ALLOWED: DecisionRecord = { ...RECORD, decision: 'allow', reason: null, rule: 'hf.co' };
const TOTALS = { bytes_out: 10, bytes_in: 20, duration_ms: 30 };

let lines: Line[];
let texts: string[];

function createLog(logAllowed = true, level: 'info' | 'silent' = 'info'): DecisionLog {
  lines = [];
  texts = [];
  const write = (text: string) => {
    texts.push(text);
    lines.push(JSON.parse(text) as Line);
  };
  return new DecisionLog(createLogger(level, { write }), logAllowed);
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a line', () => {
  test('has the fields of the interface, is one line, and is there at once', () => {
    createLog().decide(RECORD);
    expect(lines).toEqual([
      { level: 'warn', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/), ...RECORD },
    ]);
    expect(texts[0]).toMatch(/^[^\n]*\n$/);
  });

  test('of an allowed connection, and of its end', () => {
    const log = createLog();
    log.end(log.decide(ALLOWED), { ...TOTALS, error: 'ECONNRESET' });
    expect(lines[0]).toMatchObject({ level: 'info', decision: 'allow', rule: 'hf.co' });
    expect(lines[1]).toMatchObject({
      level: 'info',
      event: 'egress_end',
      id: 'a1',
      ...TOTALS,
      error: 'ECONNRESET',
    });
  });

  test('is written whatever LOG_LEVEL is', () => {
    createLog(true, 'silent').decide(RECORD);
    expect(lines).toHaveLength(1);
  });

  test('of what was allowed is left out with LOG_ALLOWED=false, its end too', () => {
    const log = createLog(false);
    log.end(log.decide(ALLOWED), TOTALS);
    log.decide({ ...ALLOWED, decision: 'would_deny', reason: 'not_allowed', host: 'other' });
    expect(lines.map(({ decision }) => decision)).toEqual(['would_deny']);
  });

  test('cannot be forged or made huge by what a client sends', () => {
    const host = `x\n{"event":"egress"}\u001b[31m\u009b\u2028\u202e\ud800${'y'.repeat(60_000)}`;
    createLog().decide({ ...RECORD, host, method: 'M'.repeat(1000) });
    expect(texts[0]?.length).toBeLessThan(900);
    expect(texts[0]).toMatch(/^[\x20-\x7e]*\n$/);
    expect(lines[0]?.host).toMatch(
      /^x\\x0a\{"event":"egress"\}\\x1b\[31m\\x9b\\u2028\\u202e\\ud800y+\.\.\.$/,
    );
  });
});

describe('repeats within ten seconds', () => {
  test('become one later line with a count', () => {
    const log = createLog();
    for (let i = 0; i < 1000; i += 1) log.decide({ ...RECORD, id: `id${i}` });
    expect(lines).toHaveLength(1);
    vi.advanceTimersByTime(10_000);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ ...RECORD, id: 'id0', repeated: 999 });
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(2);
  });

  test('after that the next one is written at once again', () => {
    const log = createLog();
    log.decide(RECORD);
    vi.advanceTimersByTime(10_001);
    log.decide(RECORD);
    expect(lines).toHaveLength(2);
    expect(lines[1]).not.toHaveProperty('repeated');
  });

  test.each<Partial<DecisionRecord>>([
    { client: '10.89.77.4' },
    { via: 'http' },
    { host: 'hf.com' },
    { port: 80 },
    { decision: 'would_deny' },
    { reason: 'deny_rule' },
    { event: 'ingress' },
    { address: '192.0.2.2' },
    { method: 'PATCH' },
    { error: 'ECONNREFUSED' },
    { final: true },
    { verify: true },
    { ech: true },
  ])('%j is another decision', (difference) => {
    const log = createLog();
    log.decide(RECORD);
    log.decide({ ...RECORD, ...difference });
    expect(lines).toHaveLength(2);
  });

  test('of connections to two addresses are counted for each', () => {
    const log = createLog();
    for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.2', '192.0.2.1', '192.0.2.2']) {
      log.decide({ ...ALLOWED, address });
    }
    vi.advanceTimersByTime(10_000);
    const counted = lines.map(({ address, repeated }) => [address, repeated]);
    expect(counted).toEqual([
      ['192.0.2.1', undefined],
      ['192.0.2.2', undefined],
      ['192.0.2.1', 1],
      ['192.0.2.2', 2],
    ]);
  });

  test('of a look-up are A and AAAA, and no other types', () => {
    const log = createLog();
    for (const method of ['A', 'AAAA', 'TXT', 'A', 'HTTPS']) {
      log.decide({ ...RECORD, via: 'dns', port: null, method });
    }
    expect(lines.map(({ method }) => method)).toEqual(['A', 'TXT', 'HTTPS']);
  });

  test('are written when the log is closed', async () => {
    const log = createLog();
    log.decide(RECORD);
    log.decide(RECORD);
    await log.close();
    expect(lines.map(({ repeated }) => repeated)).toEqual([undefined, 1]);
  });

  test('of allowed connections have their ends added up', () => {
    const log = createLog();
    const all = [1, 2, 3].map((i) => log.decide({ ...ALLOWED, id: `id${i}` }));
    for (const one of all) log.end(one, TOTALS);
    vi.advanceTimersByTime(10_000);
    const ends = lines.filter(({ event }) => event === 'egress_end');
    expect(ends).toHaveLength(2);
    expect(ends[0]).toMatchObject({ id: 'id1', ...TOTALS });
    expect(ends[1]).toMatchObject({ repeated: 2, bytes_out: 20, bytes_in: 40, duration_ms: 60 });
  });
});

describe('past 200 lines a second', () => {
  test('the rest is counted by reason, without a host, and nothing is lost', () => {
    const log = createLog();
    for (let i = 0; i < 5000; i += 1) log.decide({ ...RECORD, host: `h${i}.example` });
    for (let i = 0; i < 300; i += 1) log.decide({ ...RECORD, reason: 'bad_target', host: `b${i}` });
    expect(lines).toHaveLength(200);
    vi.advanceTimersByTime(10_000);
    const folded = lines.slice(200);
    expect(folded).toHaveLength(2);
    expect(folded[0]).toMatchObject({
      event: 'egress',
      decision: 'deny',
      reason: 'not_allowed',
      host: null,
      repeated: 4800,
    });
    expect(folded[1]).toMatchObject({ reason: 'bad_target', host: null, repeated: 300 });
  });

  test.each([
    ['of look-ups', { via: 'dns' }, 50],
    ['of strangers', { reason: 'client_not_allowed' }, 20],
  ] as const)('a flood %s takes nothing from the lines of what else is tried', (_, fields, own) => {
    const log = createLog();
    for (let i = 0; i < 500; i += 1) log.decide({ ...RECORD, ...fields, host: `h${i}` });
    for (let i = 0; i < 100; i += 1) log.decide({ ...RECORD, host: `e${i}.example` });
    const count = (start: string) =>
      lines.filter(({ host }) => String(host).startsWith(start)).length;
    expect([count('h'), count('e')]).toEqual([own, 100]);
    vi.advanceTimersByTime(10_000);
    expect(lines.at(-1)).toMatchObject({ host: null, repeated: 500 - own });
  });

  test('a flood at ingress takes nothing from the lines of egress', () => {
    const log = createLog();
    for (let i = 0; i < 500; i += 1) {
      log.decide({ ...RECORD, event: 'ingress', reason: 'client_not_allowed', host: `h${i}` });
    }
    for (let i = 0; i < 100; i += 1) log.decide({ ...RECORD, host: `e${i}.example` });
    const count = (name: string) => lines.filter(({ event }) => event === name).length;
    expect([count('ingress'), count('egress')]).toEqual([20, 100]);
  });

  test('ends are counted too, and every byte', () => {
    const log = createLog();
    const all = Array.from({ length: 500 }, (_, i) =>
      log.decide({ ...ALLOWED, host: `h${i}.example` }),
    );
    for (const one of all) log.end(one, TOTALS);
    vi.advanceTimersByTime(20_000);
    const ends = lines.filter(({ event }) => event === 'egress_end');
    const sum = (name: string) => ends.reduce((total, line) => total + Number(line[name]), 0);
    expect(sum('bytes_out')).toBe(5000);
    expect(sum('bytes_in')).toBe(10_000);
    expect(ends.reduce((total, { repeated }) => total + Number(repeated ?? 1), 0)).toBe(500);
  });

  test('over a long flood, the lines stay bounded and the sum is right', () => {
    const log = createLog();
    for (let second = 0; second < 60; second += 1) {
      for (let i = 0; i < 1000; i += 1)
        log.decide({ ...RECORD, host: `h${(second * 1000 + i) % 3000}.example` });
      vi.advanceTimersByTime(1000);
    }
    vi.advanceTimersByTime(20_000);
    expect(lines.length).toBeLessThan(80 * 210);
    const counted = lines.reduce((total, { repeated, host }) => {
      const first = host === null || repeated !== undefined ? 0 : 1;
      return total + first + Number(repeated ?? 0);
    }, 0);
    expect(counted).toBe(60_000);
  });
});
