import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DecisionEvents } from '../src/admin/events.ts';
import { DENIED } from './helpers/decisions.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { ask, connectTo, RawClient } from './helpers/raw-client.ts';

const GET = 'GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('GET /events', () => {
  test('tells each decision as it is logged, live', async () => {
    const proxy = await startProxy();
    const reader = await RawClient.connect(proxy.ports.admin);
    await reader.send(GET).until(': decisions');
    expect(reader.received).toMatch(/^HTTP\/1\.1 200 /);
    expect(reader.received).toMatch(/content-type: text\/event-stream\r\n/i);
    expect(reader.received).toMatch(/cache-control: no-store\r\n/i);
    for (let i = 0; i < 3; i += 1) await ask(proxy.port, connectTo('hf.co:443'));
    const events = () => [...reader.received.matchAll(/event: decision\ndata: (.*)\n\n/g)];
    await soon(() => expect(events()).toHaveLength(3));
    const [first] = events().map(([, data = '']) => JSON.parse(data));
    const { level: _, ...logged } = proxy.decisions()[0] ?? {};
    expect(first).toEqual({ ...logged, time: expect.stringMatching(/^\d{4}-.*Z$/) });
    // The log folds what comes again.
    expect(proxy.decisions()).toHaveLength(1);
  });

  test('does not hold up the end of the program', async () => {
    const proxy = await startProxy({ SHUTDOWN_TIMEOUT: '10m' });
    const reader = await RawClient.connect(proxy.ports.admin);
    await reader.send(GET).until(': decisions');
    await proxy.stop();
    expect(await reader.untilEnded()).toBe('end');
  });

  test('has sixteen readers at most, and a place again when one has gone', async () => {
    const proxy = await startProxy();
    const connect = async () => (await RawClient.connect(proxy.ports.admin)).send(GET);
    const readers = await Promise.all(Array.from({ length: 16 }, connect));
    for (const reader of readers) await reader.until(': decisions');
    const refused = await (await connect()).answer();
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    readers[0]?.socket.destroy();
    await soon(async () => {
      const next = await connect();
      await next.until('HTTP/1.1 200');
    });
  });
});

/** A response whose reader takes so many bytes, then none. */
class SlowResponse extends EventEmitter {
  text = '';
  takes = Number.POSITIVE_INFINITY;
  destroyed = false;
  get writableLength(): number {
    return Math.max(0, this.text.length - this.takes);
  }
  writeHead(): void {}
  write(text: string): void {
    this.text += text;
  }
  end(): void {
    this.destroy();
  }
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
  count(pattern: RegExp): number {
    return this.text.match(pattern)?.length ?? 0;
  }
  /** The sum of what it was told that it was not told. */
  get skipped(): number {
    return [...this.text.matchAll(/event: skipped\ndata: \{"skipped":(\d+)\}\n\n/g)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  }
}

describe('a reader', () => {
  let events: DecisionEvents;

  function add(takes?: number): SlowResponse {
    const response = new SlowResponse();
    if (takes !== undefined) response.takes = takes;
    expect(events.add(response as unknown as ServerResponse)).toBe(true);
    return response;
  }

  beforeEach(() => {
    vi.useFakeTimers();
    events = new DecisionEvents();
  });
  afterEach(() => {
    events.close();
    vi.useRealTimers();
  });

  test('is told of forty decisions a second, and how many it was not told of', () => {
    const reader = add();
    for (let i = 0; i < 500; i += 1) events.decided(DENIED);
    expect(reader.count(/event: decision/g)).toBe(40);
    vi.advanceTimersByTime(1000);
    expect(reader.skipped).toBe(460);
    events.decided(DENIED);
    expect(reader.count(/event: decision/g)).toBe(41);
    vi.advanceTimersByTime(60_000);
    expect(reader.skipped).toBe(460);
  });

  test('learns what whisper tries while a stranger floods ingress', () => {
    const reader = add();
    for (let i = 0; i < 500; i += 1) events.decided({ ...DENIED, event: 'ingress' });
    events.decided({ ...DENIED, host: 'seen.test' });
    expect(reader.text).toContain('seen.test');
  });

  test('that is slow does not grow the memory, keeps nobody back, and is told later how much it missed', () => {
    const slow = add(0);
    const quick = add();
    for (let second = 0; second < 30; second += 1) {
      for (let i = 0; i < 40; i += 1) events.decided({ ...DENIED, host: 'h'.repeat(250) });
      vi.advanceTimersByTime(1000);
    }
    expect(slow.text.length).toBeLessThan(65_536 + 1000);
    expect(quick.count(/event: decision/g)).toBe(1200);
    const got = slow.count(/event: decision/g);
    expect(got).toBeLessThan(200);
    slow.takes = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(1000);
    expect(slow.skipped).toBe(1200 - got);
  });

  test('that takes nothing for a minute has lost its place', () => {
    const stuck = add(0);
    const slow = add(0);
    for (let second = 0; second < 10; second += 1) {
      for (let i = 0; i < 40; i += 1) events.decided({ ...DENIED, host: 'h'.repeat(250) });
      vi.advanceTimersByTime(1000);
    }
    vi.advanceTimersByTime(30_000);
    expect(stuck.destroyed).toBe(false);
    slow.takes = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(60_000);
    expect([stuck.destroyed, slow.destroyed]).toEqual([true, false]);
  });

  test('hears every fifteen seconds that it is heard', () => {
    const reader = add();
    vi.advanceTimersByTime(60_000);
    expect(reader.count(/^: still here\n\n/gm)).toBe(4);
  });

  test('finds the end when it closes, and no place after that', () => {
    const [reader, stuck] = [add(), add(0)];
    events.close();
    expect([reader.destroyed, stuck.destroyed]).toEqual([true, true]);
    expect(events.add(new SlowResponse() as unknown as ServerResponse)).toBe(false);
  });
});
