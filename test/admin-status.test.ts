import { describe, expect, test } from 'vitest';
import type { Health } from '../src/admin/health.ts';
import { type Status, StatusFeed } from '../src/admin/status.ts';
import { ask } from './helpers/ingress.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';
import { startUpstream } from './helpers/upstream.ts';

/** What a client of the stream was told. */
function eventsOf({ received }: RawClient): { event: string; data: unknown }[] {
  return [...received.matchAll(/^event: (\w+)\r?\ndata: (.*)$/gm)].map(([, event = '', data]) => ({
    event,
    data: JSON.parse(data ?? '') as unknown,
  }));
}

async function listen(port: number, path: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  return client.send(`GET ${path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n`);
}

describe('the status in the stream of events', () => {
  test('comes at once, again as it changes, and a tick where it does not', async () => {
    const { address, server } = await startUpstream((_request, response) => response.end());
    const { ports } = await startProxy({ UPSTREAM: address }, { '127.0.0.1': ['127.0.0.1'] });
    const client = await listen(ports.admin, '/events?status');
    const statuses = () =>
      eventsOf(client).flatMap(({ event, data }) => (event === 'status' ? [data as Status] : []));
    await soon(() => expect(statuses()).toHaveLength(1));
    expect(statuses()[0]).toMatchObject({
      health: { upstream: { state: 'up' } },
      ingress: { in_flight: 0, running: [], last: [], median_ms: null, failures: [] },
    });
    await soon(() => expect(eventsOf(client).at(-1)?.event).toBe('tick'));
    await ask(`http://127.0.0.1:${ports.ingress}/path?query`, { method: 'PUT' }, 'recording');
    await soon(() =>
      expect(statuses().at(-1)?.ingress).toMatchObject({
        last: [{ client: '127.0.0.1', method: 'PUT', status: 200, reason: null, error: null }],
        median_of: 1,
      }),
    );
    expect(client.received).not.toMatch(/path|query/);
    server.close();
    server.closeAllConnections();
    await soon(() => expect(statuses().at(-1)?.health.upstream.state).toBe('down'));
  });

  test('comes only to who wants it', async () => {
    const { ports } = await startProxy();
    const client = await listen(ports.admin, '/events');
    const other = await listen(ports.admin, '/events?status=');
    await soon(() => expect(eventsOf(other)).not.toHaveLength(0));
    expect(eventsOf(client)).toEqual([]);
  });
});

describe('the feed', () => {
  const status = (warnings: string[]) => ({ health: { warnings } as unknown as Health }) as Status;

  test('reads once for all, and not while nobody listens', async () => {
    let reads = 0;
    const feed = new StatusFeed(async () => {
      reads += 1;
      return status([]);
    });
    const told: string[] = [];
    const ends = Array.from({ length: 20 }, () => feed.subscribe((event) => told.push(event)));
    await soon(() => expect(told).toHaveLength(20));
    expect(reads).toBe(1);
    for (const end of ends) end();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(reads).toBe(1);
  });

  test('what cannot be read is not told, and is read again', async () => {
    let reads = 0;
    const feed = new StatusFeed(async () => {
      reads += 1;
      if (reads === 1) throw new Error('not now');
      return status(['x']);
    });
    const told: unknown[] = [];
    const end = feed.subscribe((event, json) => told.push([event, JSON.parse(json)]));
    await soon(() => expect(told).toHaveLength(1));
    expect(told).toEqual([['status', status(['x'])]]);
    end();
  });
});
