import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expressions, filledIn, readDashboard, selections } from './helpers/dashboard.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { scrapeAfterTraffic } from './helpers/scrape-after-traffic.ts';
import { isMissing } from './helpers/tools.ts';

const DASHBOARD = readDashboard();
/** Prometheus adds these. */
const OF_PROMETHEUS = ['instance', 'job'];

describe('the Grafana dashboard', () => {
  test('uses metrics, labels and label values that a proxy has', async () => {
    const scraped = await scrapeAfterTraffic();
    const selected = expressions(DASHBOARD).flatMap(({ expr, legend }) => selections(expr, legend));
    expect(selected.length).toBeGreaterThanOrEqual(expressions(DASHBOARD).length);
    for (const { metric, labels, equal } of selected) {
      const samples = scraped.find(metric, equal);
      expect(samples, `${metric} ${JSON.stringify(equal)}`).not.toHaveLength(0);
      const has = [...Object.keys(samples[0]?.labels ?? {}), ...OF_PROMETHEUS];
      for (const label of labels) expect(has, metric).toContain(label);
    }
  });

  test("shows every metric of the proxy's own but a few", async () => {
    const { metrics } = await scrapeAfterTraffic();
    const shown = JSON.stringify(expressions(DASHBOARD));
    const own = [...metrics.keys()].filter((name) => name.startsWith('whisper_proxy_'));
    expect(own.filter((name) => !shown.includes(name)).sort()).toEqual([
      'whisper_proxy_build_info',
      // Where it is 1, the panel of the last reload says that it failed.
      'whisper_proxy_config_denies_all',
      'whisper_proxy_egress_connection_duration_seconds',
    ]);
  });

  test('takes its data from whatever Prometheus it is given', () => {
    const { templating, panels, annotations } = DASHBOARD;
    expect(templating.list[0]).toMatchObject({
      ...{ name: 'DS_PROMETHEUS', type: 'datasource', query: 'prometheus' },
    });
    const sources = [
      ...panels.flatMap(({ datasource, targets }) => [
        datasource,
        ...targets.map((t) => t.datasource),
      ]),
      ...annotations.list.map(({ datasource }) => datasource),
      ...templating.list.slice(1).map(({ datasource }) => datasource),
    ];
    for (const source of sources) {
      expect(source).toEqual({ type: 'prometheus', uid: `\${DS_PROMETHEUS}` });
    }
    // An import would ask for these, file provisioning would not.
    expect(DASHBOARD).not.toHaveProperty('__inputs');
    expect(DASHBOARD).not.toHaveProperty('id');
    expect(DASHBOARD.uid).toBe('whisper-proxy');
    expect(DASHBOARD.schemaVersion).toBeGreaterThanOrEqual(38);
  });

  test('has panels with an id and a place of their own', () => {
    const { panels } = DASHBOARD;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos, targets } of panels) {
      const { x, y, w, h } = gridPos;
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column += 1) {
        for (let row = y; row < y + h; row += 1) {
          expect(taken, title).not.toContain(`${column} ${row}`);
          taken.add(`${column} ${row}`);
        }
      }
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    }
  });
});

describe.skipIf(isMissing('promtool'))('promtool (needs promtool)', () => {
  test('has nothing to say against a scrape', async () => {
    const { text } = await scrapeAfterTraffic();
    const printed = execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
    expect(String(printed)).toBe('');
  });

  test('reads every expression of the dashboard', () => {
    const rules = expressions(DASHBOARD).map(({ expr }, index) => ({
      record: `panel:${index}`,
      expr: filledIn(expr),
    }));
    const file = JSON.stringify({ groups: [{ name: 'dashboard', rules }] });
    const path = join(mkdtempSync(join(tmpdir(), 'dashboard-')), 'rules.yml');
    writeFileSync(path, file);
    cleanUp(() => rmSync(dirname(path), { recursive: true }));
    const printed = execFileSync('promtool', ['check', 'rules', path]);
    expect(String(printed)).toContain(`SUCCESS: ${rules.length} rules found`);
  });
});
