import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { selections } from './helpers/dashboard.ts';
import { scrapeAfterTraffic } from './helpers/scrape-after-traffic.ts';

describe('the README', () => {
  const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

  test("has every metric of the proxy's own, with its labels", async () => {
    const { metrics, samples } = await scrapeAfterTraffic();
    const rows = [...README.matchAll(/^\| `(whisper_proxy_\w+)` \| (.*?) ?\| /gm)];
    const told = rows.map(([, name, labels = '']) => [name, labels.replaceAll('`', '')]);
    const labelsOf = (name: string) => {
      const sample = samples.find(
        (each) => each.name.replace(/_(?:bucket|sum|count)$/, '') === name,
      );
      const labels = Object.keys(sample?.labels ?? {}).filter((label) => label !== 'le');
      return labels.sort().join(', ');
    };
    const own = [...metrics.keys()].filter((name) => name.startsWith('whisper_proxy_'));
    const inOrder = (labels = '') => labels.split(', ').sort().join(', ');
    expect(told.map(([name, labels]) => [name, inOrder(labels)]).sort()).toEqual(
      own.map((name) => [name, labelsOf(name)]).sort(),
    );
  });

  test('alarms about metrics that there are', async () => {
    const scraped = await scrapeAfterTraffic();
    const rules = [...README.matchAll(/\{ alert: \w+, expr: '([^']+)'/g)];
    expect(rules).toHaveLength(9);
    for (const { metric, labels } of rules.flatMap(([, expr = '']) => selections(expr, ''))) {
      if (metric === 'up') continue;
      for (const { labels: has } of scraped.find(metric)) {
        expect(Object.keys(has)).toEqual(expect.arrayContaining(labels));
      }
      expect(scraped.find(metric)).not.toHaveLength(0);
    }
  });
});
