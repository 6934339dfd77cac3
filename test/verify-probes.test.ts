import { describe, expect, test } from 'vitest';
import { privilegeProbes } from '../src/verify/privilege-probes.ts';
import {
  fold,
  isAsWanted,
  type Probe,
  type Result,
  runProbes,
  single,
} from '../src/verify/probe.ts';
import { formatTable, summarize } from '../src/verify/table.ts';

import { describeVantage } from '../src/verify/vantage.ts';

const PLAIN = { colour: false, width: null, now: 0 };
const BOUNDS = { atOnce: allKinds(4), apartMs: 0, limitMs: 1_000, totalMs: 5_000 };
function allKinds(atOnce: number) {
  return { request: atOnce, packet: atOnce, share: atOnce };
}

const closed = { state: 'closed', detail: 'EPERM' } as const;
const open = { state: 'open', detail: 'it was sent' } as const;
const unknown = { state: 'unknown', detail: 'EMFILE' } as const;

function result(want: Result['want'], state: Result['state'], name: string): Result {
  return { group: 'a group', name, want, state, detail: 'a detail' };
}

describe('a run', () => {
  test('one open attempt makes a probe open, one untried attempt makes it unknown', () => {
    expect(fold([])).toEqual({ state: 'unknown', detail: 'not tried' });
    expect(
      fold([
        { what: '22', ...closed },
        { what: '80', ...open },
        { what: '443', ...unknown },
      ]),
    ).toEqual({ state: 'open', detail: '80: it was sent' });
    expect(
      fold([
        { what: '22', ...closed },
        { what: '443', ...unknown },
      ]),
    ).toEqual({ state: 'unknown', detail: '443: EMFILE' });
    expect(
      fold([
        { what: '22', ...closed },
        { what: '80', ...closed },
        { what: '443', state: 'closed', detail: 'no answer' },
      ]),
    ).toEqual({ state: 'closed', detail: '22, 80: EPERM; 443: no answer' });
  });

  test('one that cannot be tried does not hide one that is open or unknown', () => {
    const untried = { what: '', state: 'untried', detail: 'whisper listens' } as const;
    expect(fold([{ what: '', ...closed }, untried]).state).toBe('untried');
    expect(fold([untried, { what: '', ...unknown }]).state).toBe('unknown');
    expect(fold([untried, { what: '', ...open }]).state).toBe('open');
    expect(isAsWanted(result('closed', 'untried', 'a'))).toBe(true);
    expect(isAsWanted(result('open', 'untried', 'a'))).toBe(false);
  });

  test('what throws and what hangs is unknown, and the rest goes on', async () => {
    const probes = [
      single('g', 'throws', 'closed', () => Promise.reject(new Error('broken'))),
      single('g', 'hangs', 'closed', () => new Promise(() => undefined)),
      single('g', 'works', 'closed', async () => closed),
    ];
    const results = await runProbes(probes, { ...BOUNDS, atOnce: allKinds(1), limitMs: 20 });
    expect(results.map(({ state }) => state)).toEqual(['unknown', 'unknown', 'closed']);
    expect(results[0]?.detail).toBe('broken');
  });

  test('no more at once than it may, and nothing after its time', async () => {
    let running = 0;
    let most = 0;
    const attempt = {
      what: '',
      run: async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 20));
        running -= 1;
        return closed;
      },
    };
    const probe: Probe = {
      group: 'g',
      name: 'n',
      want: 'closed',
      attempts: Array(9).fill(attempt),
    };
    await runProbes([{ ...probe, attempts: probe.attempts.map((one) => ({ ...one })) }], {
      ...BOUNDS,
      atOnce: allKinds(3),
    });
    expect(most).toBe(3);
    const hanging = Array.from({ length: 5 }, (_, index) =>
      single('g', String(index), 'closed', () => new Promise(() => undefined)),
    );
    const late = await runProbes(hanging, {
      ...BOUNDS,
      atOnce: allKinds(1),
      limitMs: 60,
      totalMs: 100,
    });
    expect(late.map(({ state }) => state)).toEqual(Array(5).fill('unknown'));
    expect(late[4]?.detail).toContain('too little time');
  });
});

describe('the table', () => {
  const good = [result('closed', 'closed', 'a'), result('open', 'open', 'b')];

  test('sums up what is right', () => {
    expect(summarize(good)).toBe('1 way out tried, all closed; 1 thing that must work does.');
    expect(summarize([...good, ...good])).toBe(
      '2 ways out tried, all closed; 2 things that must work do.',
    );
    expect(summarize(good.slice(0, 1))).toBe('1 way out tried, all closed.');
  });

  test('names what is wrong first', () => {
    const bad = [
      ...good,
      result('closed', 'open', 'c'),
      result('closed', 'unknown', 'd'),
      result('open', 'closed', 'e'),
    ];
    expect(summarize(bad)).toBe(
      'OPEN: c. does not work: e. could not be tried: d. 3 ways out tried, 1 closed; 1 of 2 things that must work does.',
    );
    expect(formatTable(bad, PLAIN)).toMatch(/^ {2}OPEN {5}c +a detail \(must be closed\)$/m);
    const many = Array.from({ length: 8 }, (_, index) => result('closed', 'open', `n${index}`));
    expect(summarize(many)).toMatch(
      /^OPEN: n0; .*; n5; and 2 more\. 8 ways out tried, 0 closed\.$/,
    );
  });

  test('counts what cannot be tried by itself', () => {
    const untried = result('closed', 'untried', 'c');
    expect(summarize([...good, untried])).toBe(
      '1 way out tried, all closed; 1 cannot be tried while whisper runs: c; 1 thing that must work does.',
    );
    expect(summarize([untried, result('closed', 'unknown', 'd')])).toBe(
      'could not be tried: d. 1 way out tried, 0 closed; 1 cannot be tried while whisper runs: c.',
    );
    expect(formatTable([untried], PLAIN)).toMatch(/^ {2}untried {2}c +a detail$/m);
  });

  test('is plain unless colours are wanted', () => {
    expect(formatTable(good, PLAIN)).not.toContain('\u001b');
    expect(formatTable(good, { ...PLAIN, colour: true })).toContain('\u001b[32mclosed');
  });

  test.each([80, 60, 40])('breaks no word where a line has %i characters', (width) => {
    const detail = 'ten words that are as long as what it really says here';
    const results = [
      ...good,
      { ...result('closed', 'open', 'a name of several words that is rather long'), detail },
      { ...result('closed', 'open', 'p'), group: 'privileges', detail },
    ];
    const lines = formatTable(results, { ...PLAIN, width }).split('\n');
    const words = formatTable(results, PLAIN).split(/\s+/);
    expect(lines.join(' ').split(/\s+/)).toEqual(words);
    const longest = Math.max(...words.map((word) => word.length)) + 13;
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(Math.max(width, longest));
  });

  test('says what a container must be run with, if it was not', () => {
    const privilege = { ...result('closed', 'open', 'p'), group: 'privileges' };
    expect(formatTable([privilege], PLAIN)).toContain('--cap-drop=all');
    expect(formatTable(good, PLAIN)).not.toContain('--cap-drop=all');
  });
});

describe('the vantage', () => {
  const eth0 = { address: '10.89.77.3', netmask: '255.255.255.0' };
  const header = 'Iface\tDestination\tGateway \tFlags';

  test('is read from interface, routes and resolv.conf', () => {
    const routes = [header, 'eth0\t004D590A\t00000000\t0001', 'eth0\t00000000\tFE4D590A\t0003'];
    expect(describeVantage('eth0', eth0, routes, ['nameserver 10.89.77.2', 'search x'])).toEqual({
      own: '10.89.77.3',
      device: 'eth0',
      gateway: '10.89.77.254',
      broadcast: '10.89.77.255',
      neighbour: '10.89.77.253',
      nameServers: ['10.89.77.2'],
    });
  });

  test('without a default route, the gateway is the first address', () => {
    expect(describeVantage('eth0', eth0, [header], [])).toMatchObject({ gateway: '10.89.77.1' });
    const small = { address: '192.0.2.9', netmask: '255.255.255.248' };
    expect(describeVantage('eth0', small, [], [])).toMatchObject({
      gateway: '192.0.2.9',
      broadcast: '192.0.2.15',
    });
  });
});

test('privileges are what the kernel says, and what it does not say is unknown', async () => {
  const status = (bounding: string, filter: string) =>
    `CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t${bounding}\nCapAmb:\t0\nNoNewPrivs:\t1\n${filter}`;
  const states = async (text: string) =>
    (
      await runProbes(
        privilegeProbes(() => text),
        BOUNDS,
      )
    ).map(({ state }) => state);
  const [C, O, U] = ['closed', 'open', 'unknown'];
  expect(await states(status('0000000000000000', 'Seccomp:\t2\n'))).toEqual([C, C, C, C, C, C, C]);
  expect(await states(status('0000000000002000', 'Seccomp:\t0\n'))).toEqual([C, C, O, C, C, C, O]);
  expect(await states(status('0000000000000000', ''))).toEqual([C, C, C, C, C, C, U]);
});
