import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../src/config/config.ts';
import { RulesInForce } from '../src/live/rules-in-force.ts';
import { Metrics } from '../src/metrics/metrics.ts';
import { parseRule } from '../src/policy/rules.ts';
import { freePort } from './helpers/free-port.ts';
import { start, startHttp, startTarget } from './helpers/origin.ts';
import { startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo } from './helpers/raw-client.ts';
import { Scrape, scrape } from './helpers/scrape.ts';

const LOOPBACK = { '127.0.0.1': ['127.0.0.1'] };
const policyOf = (env: Record<string, string>) =>
  readConfig({ UPSTREAM: 'embedded', ...env }).egress.policy;

/** Metrics without a proxy around them. */
function createMetrics(env: Record<string, string> = {}) {
  const { egress } = readConfig({ UPSTREAM: 'embedded', ...env });
  const rules = new RulesInForce(egress.policy);
  const metrics = new Metrics(egress, rules);
  return { metrics, rules, read: async () => new Scrape(await metrics.expose()) };
}

describe('GET /metrics', () => {
  test('answers in the text format, with a type and help for every metric', async () => {
    const { ports } = await startProxy();
    const answer = await fetch(`http://127.0.0.1:${ports.admin}/metrics`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { metrics, samples } = new Scrape(await answer.text());
    for (const [name, { type, help }] of metrics) {
      expect(help).toMatch(/^[A-Z\d].*\.$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
    }
    const known = new Set(
      [...metrics].flatMap(([name, { type }]) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    for (const { name } of samples) expect(known).toContain(name);
  });

  test('needs the token where there is one', async () => {
    const { ports } = await startProxy({ ADMIN_TOKEN: 's3cret' });
    const url = `http://127.0.0.1:${ports.admin}/metrics`;
    expect((await fetch(url)).status).toBe(401);
    const headers = { Authorization: 'Bearer s3cret' };
    expect((await fetch(url, { headers })).status).toBe(200);
  });

  test('does not change anything', async () => {
    const { ports } = await startProxy();
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const answer = await fetch(`http://127.0.0.1:${ports.admin}/metrics`, { method });
      expect(answer.ok).toBe(false);
    }
  });
});

describe('whisper', () => {
  const UP = 'whisper_proxy_upstream_up';

  test('is up when it listens', async () => {
    const { port } = await startHttp((_request, response) => response.end());
    const { ports } = await startProxy({ UPSTREAM: `http://127.0.0.1:${port}` }, LOOPBACK);
    expect((await scrape(ports.admin)).sum(UP)).toBe(1);
  });

  test('is not up when it does not', async () => {
    const upstream = `http://127.0.0.1:${await freePort()}`;
    const { ports } = await startProxy({ UPSTREAM: upstream }, LOOPBACK);
    expect((await scrape(ports.admin)).sum(UP)).toBe(0);
  });

  test('gets one connection, however many scrape', async () => {
    const { port, sockets } = await start(createServer(), '127.0.0.1', []);
    const { ports } = await startProxy({ UPSTREAM: `http://127.0.0.1:${port}` }, LOOPBACK);
    const scrapes = await Promise.all(Array.from({ length: 20 }, () => scrape(ports.admin)));
    expect(scrapes.map((scraped) => scraped.sum(UP))).toEqual(Array(20).fill(1));
    expect(sockets).toHaveLength(1);
  });
});

describe('the configuration', () => {
  const INFO = 'whisper_proxy_config_info';

  test('is told apart by its hash, and its mode is told', async () => {
    const enforcing = await startProxy({ EGRESS_ALLOW: 'hf.co' });
    const reporting = await startProxy({ EGRESS_ALLOW: 'hf.co', EGRESS_MODE: 'report' });
    await ask(enforcing.port, connectTo('evil.test:443'));
    const [{ config } = {}] = enforcing.decisions();
    const read = async (port: number) => (await scrape(port)).find(INFO);
    expect(await read(enforcing.ports.admin)).toEqual([
      { name: INFO, labels: { hash: config, mode: 'enforce' }, value: 1 },
    ]);
    expect(await read(reporting.ports.admin)).toMatchObject([{ labels: { mode: 'report' } }]);
  });

  test('once another is in force, the one before is gone, and new groups start at 0', async () => {
    const { rules, read } = createMetrics({ EGRESS_ALLOW_OLD: 'old.test' });
    await read();
    rules.replace(policyOf({ EGRESS_ALLOW_NEW: 'new.test', EGRESS_MODE: 'report' }));
    const scraped = await read();
    expect(scraped.find(INFO)).toMatchObject([{ labels: { hash: rules.hash, mode: 'report' } }]);
    expect(scraped.sum('whisper_proxy_decisions_total', { group: 'NEW' })).toBe(0);
  });

  test('a reload is noted, whether it succeeds or not', async () => {
    const SUCCESSFUL = 'whisper_proxy_config_last_reload_successful';
    const LOADED = 'whisper_proxy_config_last_reload_success_timestamp_seconds';
    const { metrics, read } = createMetrics();
    const first = await read();
    expect(first.sum(SUCCESSFUL)).toBe(1);
    expect(Math.abs(first.sum(LOADED) - Date.now() / 1_000)).toBeLessThan(5);
    await new Promise((resolve) => setTimeout(resolve, 10));
    metrics.reloaded(false);
    const failed = await read();
    expect(failed.sum(SUCCESSFUL)).toBe(0);
    expect(failed.sum(LOADED)).toBe(first.sum(LOADED));
    metrics.reloaded(true);
    const second = await read();
    expect(second.sum(SUCCESSFUL)).toBe(1);
    expect(second.sum(LOADED)).toBeGreaterThan(first.sum(LOADED));
  });

  test('what is allowed for a time is counted, and its group is told apart', async () => {
    const { rules, read } = createMetrics();
    expect((await read()).sum('whisper_proxy_timed_allows')).toBe(0);
    const rule = parseRule('hf.co', 'allow', 'timed');
    rules.setTimed([{ rule, until: Date.now() + 60_000, deadline: Infinity }]);
    const scraped = await read();
    expect(scraped.sum('whisper_proxy_timed_allows')).toBe(1);
    expect(scraped.sum('whisper_proxy_decisions_total', { group: 'timed' })).toBe(0);
  });
});

test('the figures of the process are there', async () => {
  const { ports } = await startProxy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const scraped = await scrape(ports.admin);
  expect(scraped.sum('process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(scraped.sum('process_resident_memory_bytes')).toBeGreaterThan(10e6);
  const lasted = Date.now() / 1_000 - scraped.sum('process_start_time_seconds');
  expect(Math.abs(lasted - process.uptime())).toBeLessThan(5);
  const lag = (figure: string) => scraped.sum(`nodejs_eventloop_lag_${figure}_seconds`);
  expect(lag('mean')).toBeLessThanOrEqual(lag('max'));
  expect(lag('p99')).toBeLessThanOrEqual(lag('max') + 0.001);
});

test('two proxies in one process count apart', async () => {
  const target = await startTarget((socket) => socket.end('x'));
  const one = await startProxyTo(target.port);
  const other = await startProxyTo(target.port);
  await ask(one.port, connectTo('evil.test:443'));
  const denied = async (port: number) =>
    (await scrape(port)).sum('whisper_proxy_decisions_total', { reason: 'not_allowed' });
  expect(await denied(one.ports.admin)).toBe(1);
  expect(await denied(other.ports.admin)).toBe(0);
});
