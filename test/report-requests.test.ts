import { expect, test } from 'vitest';
import type { IngressRequest, RequestEnd } from '../src/ingress/observer.ts';
import { RecentRequests } from '../src/report/recent-requests.ts';

const request = (change: Partial<IngressRequest> = {}): IngressRequest => ({
  ...{ client: '10.89.1.5', method: 'POST', started: Date.UTC(2026, 10, 24) },
  bytes: () => ({ in: 11, out: 22 }),
  ...change,
});
const END: RequestEnd = {
  ...{ outcome: 200, duration_ms: 10, bytes_in: 1, bytes_out: 2 },
  ...{ denied: null, failure: null },
};

test('a request is running until it ends', () => {
  const recent = new RecentRequests();
  const one = request();
  recent.requestBegan(one);
  const running = recent.activity();
  expect(running).toMatchObject({ in_flight: 1, last: [], median_ms: null, median_of: 0 });
  expect(running.running).toMatchObject([
    { ...{ client: '10.89.1.5', method: 'POST', status: null }, bytes_in: 11, bytes_out: 22 },
  ]);
  recent.requestEnded(one, END);
  expect(recent.activity()).toEqual({
    ...{ in_flight: 0, running: [], median_ms: 10, median_of: 1, failures: [] },
    last: [
      {
        ...{
          client: '10.89.1.5',
          method: 'POST',
          status: 200,
          started: '2026-11-24T00:00:00.000Z',
        },
        ...{ duration_ms: 10, bytes_in: 1, bytes_out: 2, reason: null, error: null },
      },
    ],
  });
});

test('the median is that of whole answers of whisper', () => {
  const recent = new RecentRequests();
  const failure = { reason: 'connection_refused', error: 'ECONNREFUSED' } as const;
  const ends: Partial<RequestEnd>[] = [
    ...[90_000, 10, 20, 40].map((duration_ms) => ({ duration_ms })),
    { duration_ms: 1, outcome: 502, failure },
    { duration_ms: 1, outcome: 'client_closed' },
  ];
  for (const end of ends) recent.requestEnded(request(), { ...END, ...end });
  expect(recent.activity()).toMatchObject({ median_ms: 30, median_of: 4 });
  expect(recent.failures()).toMatchObject([
    { ...failure, status: 502, count: 1, client: '10.89.1.5', text: expect.any(String) },
  ]);
});

test('memory is bounded, and what was denied pushes nothing out', () => {
  const recent = new RecentRequests();
  recent.requestEnded(request({ method: 'PUT' }), END);
  for (let index = 0; index < 1_000; index += 1) {
    recent.requestEnded(request(), { ...END, outcome: 403, denied: 'client_not_allowed' });
  }
  expect(recent.activity().last).toMatchObject([{ method: 'PUT' }]);
  for (let index = 0; index < 1_000; index += 1) {
    recent.requestBegan(request());
    recent.requestEnded(request(), { ...END, duration_ms: index });
  }
  const { last, running, median_of } = recent.activity();
  expect([last.length, running.length, median_of]).toEqual([50, 20, 100]);
  expect(last[0]?.duration_ms).toBe(999);
});

test('what a request says of itself is escaped and bounded', () => {
  const recent = new RecentRequests();
  recent.requestEnded(request({ method: `\u001b[31m${'M'.repeat(1_000)}` }), END);
  const [{ method } = { method: '' }] = recent.activity().last;
  expect(method).toMatch(/^\\x1b\[31mM+\.\.\.$/);
  expect(method?.length).toBeLessThan(270);
});
