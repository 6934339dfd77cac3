import { describe, expect, test } from 'vitest';
import { splitLines } from '../src/report/lines.ts';
import { readLogLine } from '../src/report/log-line.ts';
import { DENIED } from './helpers/decisions.ts';

const TIME = '2026-11-24T02:47:31.119Z';
const LINE = { level: 'warn', time: TIME, ...DENIED };
const JSON_LINE = JSON.stringify(LINE);

function read(difference: Record<string, unknown>) {
  return readLogLine(JSON.stringify({ ...LINE, ...difference }));
}

describe('a line of the log', () => {
  test('is one decision', () => {
    const { method: _method, id: _id, ...decision } = DENIED;
    expect(readLogLine(JSON_LINE)).toEqual({ decision, time: TIME, count: 1 });
  });

  test('with a count is as many', () => {
    expect(read({ repeated: 40, host: null, port: null, via: null })).toMatchObject({
      count: 40,
      decision: { host: null, via: null },
    });
  });

  test('keeps the error, and that no rule could open it', () => {
    expect(read({ error: 'ENOTFOUND', final: true })).toMatchObject({
      decision: { error: 'ENOTFOUND', final: true },
    });
  });

  test('is a failure of ingress, or as many as it counts', () => {
    const failure = {
      ...{ reason: 'connection_refused', status: 502, error: 'ECONNREFUSED' },
      client: '10.89.1.5',
    };
    const line = { level: 'warn', time: TIME, event: 'ingress_failure', method: 'POST' };
    const read = (difference: object) =>
      readLogLine(JSON.stringify({ ...line, ...failure, ...difference }));
    expect(read({})).toEqual({ failure, time: TIME, count: 1 });
    expect(read({ repeated: 9 })).toMatchObject({ count: 9 });
    expect(read({ status: 'cut_off', error: null })).toMatchObject({
      failure: { status: 'cut_off', error: null },
    });
    expect(read({ reason: 'connection_timeout', status: null })).toMatchObject({
      failure: { status: 504 },
    });
    for (const forged of [{ reason: 'x' }, { status: '<b>' }, { status: 200 }, { repeated: -1 }]) {
      expect(read(forged)).toBe('foreign');
    }
  });

  test.each([
    ['podman logs', JSON_LINE],
    ['podman logs --timestamps', `2026-11-24T03:47:31.119000000+01:00 ${JSON_LINE}`],
    ["podman's own file", `2026-11-24T03:47:31.119000000+01:00 stdout F ${JSON_LINE}`],
    ['journalctl', `Nov 24 03:47:31 host whisper-proxy[4711]: ${JSON_LINE}`],
    ['Windows', `${JSON_LINE}\r`],
  ])('as %s gives it', (_, text) => {
    expect(readLogLine(text)).toMatchObject({ time: TIME, decision: { host: 'hf.co' } });
  });

  test.each([
    { event: 'egress_end', decision: undefined, bytes_out: 1 },
    { event: 'egress_end', decision: 'allow', reason: null, repeated: 3 },
    { event: undefined, decision: undefined, msg: 'listening' },
  ])('that is no decision: %j', (difference) => {
    expect(read(difference)).toBe('other');
  });

  test.each([
    '',
    'garbage',
    '{"level":"warn"',
    '{}',
    '[{"event":"egress"}]',
    'null',
    '{"MESSAGE":"{}"}',
    ...[
      { time: 'yesterday' },
      { time: 5 },
      { level: undefined },
      { decision: 'maybe' },
      { reason: 'because' },
      { reason: undefined },
      { reason: null },
      { decision: 'allow' },
      { repeated: 0 },
      { repeated: -5 },
      { repeated: 1e300 },
      { repeated: '9' },
    ].map((difference) => JSON.stringify({ ...LINE, ...difference })),
  ])('is none of it: %s', (text) => {
    expect(readLogLine(text)).toBe('foreign');
  });

  test('that somebody else made cannot write to a terminal, nor be huge', () => {
    const evil = `\u001b]0;x\u0007\u001b[2J\n\u202e${'y'.repeat(5000)}`;
    const forged = read({
      host: evil,
      rule: evil,
      client: evil,
      error: evil,
      via: evil,
      port: 1e9,
    });
    expect(forged).toMatchObject({ decision: { via: null, port: null } });
    expect(JSON.stringify(forged)).toMatch(/^[\x20-\x7e]{100,2000}$/);
  });

  test.each([{ address: '\u001b[2J' }, { address: 5 }, { host: {} }])('%j is nothing', (odd) => {
    const [[name = '']] = [Object.keys(odd)];
    expect(read(odd)).toMatchObject({ decision: { [name]: null } });
  });
});

describe('a stream of lines', () => {
  async function lines(chunks: (string | Buffer)[], longest = 100): Promise<(string | null)[]> {
    async function* source() {
      for (const chunk of chunks) yield Buffer.from(chunk);
    }
    const all: (string | null)[] = [];
    for await (const line of splitLines(source(), longest)) all.push(line);
    return all;
  }

  test.each([
    [['a\nb\n'], ['a', 'b']],
    [['a\nb'], ['a', 'b']],
    [
      ['a', 'b\n', '\nc'],
      ['ab', '', 'c'],
    ],
    [[], []],
    [['\n'], ['']],
    [[Buffer.from('ü\n').subarray(0, 1), Buffer.from('ü\n').subarray(1)], ['ü']],
    [
      ['x'.repeat(100), '\n', 'x'.repeat(101), '\na'],
      ['x'.repeat(100), null, 'a'],
    ],
    [['x'.repeat(60), 'x'.repeat(60)], [null]],
    [
      ['x'.repeat(60), 'x'.repeat(60), 'x\n', 'b\n'],
      [null, 'b'],
    ],
  ])('%j', async (chunks, expected) => {
    expect(await lines(chunks)).toEqual(expected);
  });
});
