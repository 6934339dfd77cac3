import { describe, expect, test } from 'vitest';
import { type Tallied, Tally } from '../src/report/tally.ts';
import { DENIED } from './helpers/decisions.ts';

/** A time so many seconds into a day. */
function at(seconds: number): string {
  return new Date(Date.UTC(2026, 10, 24) + seconds * 1000).toISOString();
}

function total(tally: Tally): number {
  return tally.groups().reduce((sum, { count }) => sum + count, 0);
}

describe('decisions of one group', () => {
  test('are counted, with the first time, the last, and every way', () => {
    const tally = new Tally();
    tally.add(DENIED, at(1));
    tally.add({ ...DENIED, via: 'tls', client: '10.89.77.4' }, at(2));
    tally.add(DENIED, at(3), 40);
    expect(tally.groups()).toEqual([
      {
        event: 'egress',
        decision: 'deny',
        reason: 'not_allowed',
        rule: null,
        host: 'hf.co',
        port: 443,
        via: ['connect', 'tls'],
        count: 42,
        first: at(1),
        last: at(3),
        address: null,
        error: null,
        client: '10.89.77.3',
        final: false,
      },
    ]);
  });

  test('keep their times when the lines come in another order', () => {
    const tally = new Tally();
    for (const second of [5, 1, 9, 3]) tally.add({ ...DENIED, error: `E${second}` }, at(second));
    expect(tally.groups()).toMatchObject([{ first: at(1), last: at(9), error: 'E9' }]);
  });

  test.each<Partial<Tallied>>([
    { event: 'ingress' },
    { decision: 'would_deny' },
    { reason: 'deny_rule' },
    { rule: 'x' },
    { host: 'hf.com' },
    { port: 80 },
    { port: null },
    { host: null },
  ])('%j makes another group', (difference) => {
    const tally = new Tally();
    tally.add(DENIED, at(1));
    tally.add({ ...DENIED, ...difference }, at(2));
    expect(tally.groups()).toHaveLength(2);
    expect(tally.groups()[0]).toMatchObject(difference);
  });
});

test('the last in time comes first, whatever came first', () => {
  const tally = new Tally();
  for (const second of [2, 3, 1]) tally.add({ ...DENIED, host: `h${second}` }, at(second));
  expect(tally.groups().map(({ host }) => host)).toEqual(['h3', 'h2', 'h1']);
});

describe('too many groups', () => {
  test('become one without a host for each reason, and nothing is lost', () => {
    const tally = new Tally();
    for (let i = 0; i < 5000; i += 1) tally.add({ ...DENIED, host: `h${i}` }, at(i));
    for (let i = 0; i < 2000; i += 1) {
      tally.add({ ...DENIED, reason: 'bad_target', host: `b${i}` }, at(6000 + i));
    }
    const groups = tally.groups();
    expect(groups.length).toBeLessThanOrEqual(1000);
    expect(total(tally)).toBe(7000);
    const merged = groups.filter(({ host }) => host === null);
    expect(merged.map(({ reason }) => reason).sort()).toEqual(['bad_target', 'not_allowed']);
    expect(merged.find(({ reason }) => reason === 'not_allowed')).toMatchObject({
      count: 5000,
      port: null,
      client: null,
      first: at(0),
      last: at(4999),
    });
  });

  test('the one that goes is the one that has not come for longest', () => {
    const tally = new Tally();
    tally.add({ ...DENIED, host: 'early' }, at(0));
    tally.add({ ...DENIED, host: 'lasting' }, at(1));
    for (let i = 2; i < 1500; i += 1) {
      tally.add({ ...DENIED, host: `h${i}` }, at(i));
      tally.add({ ...DENIED, host: 'lasting' }, at(i));
    }
    const hosts = tally.groups().map(({ host }) => host);
    expect(hosts).toContain('lasting');
    expect(hosts).not.toContain('early');
    expect(tally.groups().find(({ host }) => host === 'lasting')?.count).toBe(1499);
  });

  test('of ingress push out none of egress', () => {
    const tally = new Tally();
    tally.add(DENIED, at(0));
    for (let i = 1; i < 5000; i += 1) {
      tally.add({ ...DENIED, event: 'ingress', reason: 'bad_target', host: `/${i}` }, at(i));
    }
    expect(tally.groups().filter(({ host }) => host === 'hf.co')).toHaveLength(1);
    expect(total(tally)).toBe(5000);
  });
});

test('those without a host are kept by reason alone, whatever else a line of theirs says', () => {
  const tally = new Tally();
  for (let port = 1; port <= 1000; port += 1) {
    tally.add({ ...DENIED, host: null, port, rule: `r${port}` }, at(1));
  }
  expect(tally.groups()).toMatchObject([{ host: null, port: null, rule: null, count: 1000 }]);
});

test('what was handed out does not change with what comes later', () => {
  const tally = new Tally();
  tally.add(DENIED, at(1));
  const [before] = tally.groups();
  tally.add({ ...DENIED, via: 'dns' }, at(2));
  expect(before).toMatchObject({ count: 1, via: ['connect'], last: at(1) });
});
