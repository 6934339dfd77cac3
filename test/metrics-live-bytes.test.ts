import { Counter } from 'prom-client';
import { expect, test } from 'vitest';
import { LiveBytes } from '../src/metrics/live-bytes.ts';

test('counts what came since the last time, never backwards, and not after the end', async () => {
  const counter = new Counter({
    name: 'bytes_total',
    help: 'Bytes.',
    labelNames: ['direction', 'via'],
    registers: [],
  });
  const counted = async () => (await counter.get()).values.map(({ value }) => value);
  const bytes = new LiveBytes(counter);
  const key = {};
  const carried = { in: 0, out: 0 };
  bytes.open(key, { via: 'http' }, () => carried);
  bytes.open({}, { via: 'http' }, () => ({ in: 1, out: 0 }));
  bytes.collect();
  expect(await counted()).toEqual([1, 0]);
  Object.assign(carried, { in: 10, out: 30 });
  bytes.collect();
  bytes.collect();
  expect(await counted()).toEqual([11, 30]);
  Object.assign(carried, { in: 12, out: 20 });
  bytes.collect();
  expect(await counted()).toEqual([13, 30]);
  Object.assign(carried, { in: 12, out: 31 });
  bytes.end(key);
  Object.assign(carried, { in: 100, out: 100 });
  bytes.end(key);
  bytes.collect();
  expect(await counted()).toEqual([13, 31]);
});
