import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { handshake } from './helpers/ingress-websocket.ts';
import { startProxy } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';
import { type Scrape, scrape } from './helpers/scrape.ts';
import { startRawUpstream } from './helpers/upstream.ts';

const REQUESTS = 1_000;
const IN_PARALLEL = 20;
const METHODS = ['GET', 'POST', 'QUERY', 'MKCOL', 'PROPFIND', 'BREW', 'M-SEARCH', 'get', 'GET\0'];
const LABELS = {
  direction: /^(?:in|out)$/,
  event: /^(?:egress|ingress)$/,
  decision: /^(?:allow|deny|would_deny)$/,
  reason: /^[a-z_]{4,21}$/,
  group: /^(?:none|MODELS)$/,
  via: /^(?:connect|http|tls|transparent_http|dns)$/,
  method: /^(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|other)$/,
  status: /^(?:[1-5]\d\d|[1-5]xx|client_closed|cut_off)$/,
  status_class: /^(?:[1-5]xx|client_closed|cut_off)$/,
  le: /^[\d.]+$|^\+Inf$/,
  kind: /^(?:major|minor|incremental|weakcb|other)$/,
  hash: /^[0-9a-f]{8}$/,
  mode: /^(?:enforce|report)$/,
};

const random = () => randomBytes(8).toString('hex');
const pick = <Value>(values: readonly Value[], index: number) => values[index % values.length];

/** Does something a thousand times, each on a connection of its own, until the other side has ended. */
async function flood(port: number, text: (index: number) => string): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < REQUESTS) {
      const request = text(next++);
      const client = await RawClient.connect(port);
      await client.send(request).untilEnded();
      client.socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: IN_PARALLEL }, one));
}

function expectBounded(scraped: Scrape): void {
  for (const { labels } of scraped.samples) {
    for (const [label, value] of Object.entries(labels)) {
      expect(value).toMatch(LABELS[label as keyof typeof LABELS]);
    }
  }
}

test('a thousand hosts, methods and paths at egress make no more series', async () => {
  const proxy = await startProxy({
    EGRESS_ALLOW_MODELS: '*.origin.test',
    EGRESS_HTTP_LISTEN: '127.0.0.1:0',
  });
  const request = (index: number) => {
    const method = pick(METHODS, index);
    const host = `${random()}${pick(['.test', '.origin.test', ':1\r\nX: y', '"} 1\nx'], index)}`;
    return pick(
      [
        `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        `${method} http://${host}/${random()} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        `${random()} /${random()} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      ],
      Math.floor(index / 7),
    );
  };
  const before = await scrape(proxy.ports.admin);
  await flood(proxy.port, (index) => request(index) ?? '');
  await flood(proxy.ports.http, (index) => request(index) ?? '');
  const after = await scrape(proxy.ports.admin);
  expectBounded(after);
  const ours = (scraped: Scrape) =>
    scraped.samples.filter(({ name }) => name.startsWith('whisper_proxy_egress')).length;
  expect(ours(after)).toBe(ours(before));
  const decisions = 'whisper_proxy_decisions_total';
  expect(after.sum(decisions)).toBe(2 * REQUESTS);
  expect(after.find(decisions)).toHaveLength(before.find(decisions).length);
}, 180_000);

test('a thousand methods and paths at ingress, and every status of whisper, make few', async () => {
  const { address } = await startRawUpstream((socket, head) => {
    const status = /^\S+ \/(\d+)/.exec(head)?.[1];
    socket.end(`HTTP/1.1 ${status} ${random()}\r\nContent-Length: 0\r\n\r\n`);
  });
  const proxy = await startProxy({ UPSTREAM: address }, { '127.0.0.1': ['127.0.0.1'] });
  await flood(proxy.ports.ingress, (index) => {
    if (index % 50 === 0) return handshake(`/${index}`);
    const method = index % 10 === 0 ? random() : pick(METHODS, index);
    return `${method} /${index}/${random()} HTTP/1.1\r\nHost: ${random()}\r\nConnection: close\r\n\r\n`;
  });
  const scraped = await scrape(proxy.ports.admin);
  expectBounded(scraped);
  expect(scraped.sum('whisper_proxy_ingress_requests_total')).toBe(REQUESTS);
  expect(scraped.sum('whisper_proxy_ingress_requests_in_flight')).toBe(0);
  expect(scraped.find('whisper_proxy_ingress_requests_total').length).toBeLessThan(700);
  expect(scraped.samples.length).toBeLessThan(2_000);
}, 180_000);
