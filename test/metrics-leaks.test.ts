import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import { createLogger } from '../src/log/logger.ts';
import { Metrics } from '../src/metrics/metrics.ts';
import { SystemResolver } from '../src/net/system-resolver.ts';
import { Sidecar } from '../src/sidecar.ts';
import { LOOPBACK } from './helpers/cli.ts';
import { Scrape, scrape } from './helpers/scrape.ts';

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Starts a proxy, scrapes it and stops it. @returns what tells whether it is still in memory. */
async function runOnce(): Promise<WeakRef<Sidecar>> {
  const config = readConfig({ ...LOOPBACK, UPSTREAM: 'embedded', SHUTDOWN_TIMEOUT: '1ms' });
  const sidecar = new Sidecar(config, createLogger('silent'), new SystemResolver().resolve);
  const { admin } = await sidecar.start();
  await scrape(admin.port);
  await sidecar.stop();
  return new WeakRef(sidecar);
}

test('of fifty proxies that were started and stopped, nothing goes on', async () => {
  const observe = vi.spyOn(PerformanceObserver.prototype, 'observe');
  const disconnect = vi.spyOn(PerformanceObserver.prototype, 'disconnect');
  await runOnce();
  const before = process.getActiveResourcesInfo().length;
  const proxies: WeakRef<Sidecar>[] = [];
  for (let count = 0; count < 50; count += 1) proxies.push(await runOnce());
  expect(observe).toHaveBeenCalledTimes(51);
  expect(disconnect).toHaveBeenCalledTimes(51);
  // What a spy remembers would keep the proxies in memory.
  for (const spy of [observe, disconnect]) spy.mockReset();
  vi.restoreAllMocks();
  const left = () => {
    collectGarbage();
    return proxies.filter((proxy) => proxy.deref() !== undefined).length;
  };
  await expect.poll(left, { timeout: 60_000, interval: 200 }).toBeLessThanOrEqual(1);
  expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before + 2);
}, 180_000);

test('the event loop is measured until the proxy stops', async () => {
  const { egress } = readConfig({ UPSTREAM: 'embedded' });
  const metrics = new Metrics(egress, new RulesInForce(egress.policy));
  const worst = async () => {
    await delay(50);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    await delay(50);
    return new Scrape(await metrics.expose()).sum('nodejs_eventloop_lag_max_seconds');
  };
  expect(await worst()).toBe(0);
  metrics.start(async () => true);
  expect(await worst()).toBeGreaterThan(0.15);
  metrics.stop();
  await worst();
  expect(await worst()).toBe(0);
});
