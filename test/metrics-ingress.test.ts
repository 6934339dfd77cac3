import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePort } from './helpers/free-port.ts';
import { ask, askRaw, open, readUntil } from './helpers/ingress.ts';
import { agreement, handshake } from './helpers/ingress-websocket.ts';
import { startProxy } from './helpers/proxy.ts';
import { type Labels, type Scrape, scrape } from './helpers/scrape.ts';
import { readBody, startRawUpstream, startUpstream } from './helpers/upstream.ts';

const REQUESTS = 'whisper_proxy_ingress_requests_total';
const DURATION = 'whisper_proxy_ingress_request_duration_seconds';
const IN_FLIGHT = 'whisper_proxy_ingress_requests_in_flight';
const FAILURES = 'whisper_proxy_ingress_failures_total';
const WEBSOCKETS = 'whisper_proxy_ingress_open_websockets';
const LOOPBACK = { '127.0.0.1': ['127.0.0.1'] };
const BYTES = 'whisper_proxy_ingress_bytes_total';

/** The requests that were counted, as `method status`; each must have its duration. */
function counted(scraped: Scrape): Record<string, number> {
  expect(scraped.sum(`${DURATION}_count`)).toBe(scraped.sum(REQUESTS));
  return Object.fromEntries(
    scraped.find(REQUESTS).flatMap(({ labels: { method, status }, value }) => {
      return value === 0 ? [] : [[`${method} ${status}`, value]];
    }),
  );
}

async function startBefore(whisper: RequestListener | string, env: Labels = {}) {
  const address = typeof whisper === 'string' ? whisper : (await startUpstream(whisper)).address;
  const { ports } = await startProxy({ UPSTREAM: address, ...env }, LOOPBACK);
  const counts = async () => counted(await scrape(ports.admin));
  return {
    ports,
    origin: `http://127.0.0.1:${ports.ingress}`,
    counts,
    /** Waits until exactly these were counted, and nothing is in flight. */
    expectCounts: async (expected: Record<string, number>) => {
      await expect.poll(counts, { timeout: 5_000 }).toEqual(expected);
      expect((await scrape(ports.admin)).sum(IN_FLIGHT)).toBe(0);
    },
  };
}

test('requests are counted by method and status', async () => {
  const { origin, expectCounts } = await startBefore((request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end();
  });
  for (const status of [200, 200, 404, 499, 503, 599]) await ask(`${origin}/${status}`);
  await ask(`${origin}/201`, { method: 'POST' }, 'x');
  await ask(`${origin}/200`, { method: 'HEAD' });
  await ask(`${origin}/204`, { method: 'MKCOL' });
  await expectCounts({
    ...{ 'GET 200': 2, 'GET 404': 1, 'GET 4xx': 1, 'GET 503': 1, 'GET 5xx': 1 },
    ...{ 'POST 201': 1, 'HEAD 200': 1, 'other 204': 1 },
  });
});

test('connections are counted, and no longer as open when they have ended', async () => {
  const { ports } = await startBefore((_, response) => response.end());
  const counts = async () => {
    const scraped = await scrape(ports.admin);
    return ['connections_total', 'open_connections'].map((name) =>
      scraped.sum(`whisper_proxy_ingress_${name}`),
    );
  };
  const sockets = [open(ports.ingress), open(ports.ingress)];
  await expect.poll(counts).toEqual([2, 2]);
  sockets[0]?.destroy();
  await expect.poll(counts).toEqual([2, 1]);
});

test('a request is in flight until it is over, and its duration is in seconds', async () => {
  const answered: (() => void)[] = [];
  const { ports, origin } = await startBefore((_request, response) => {
    answered.push(() => response.end('text'));
  });
  const asked = ask(origin, { method: 'POST' });
  const inFlight = async () => (await scrape(ports.admin)).sum(IN_FLIGHT);
  await expect.poll(inFlight).toBe(1);
  await expect.poll(() => answered).toHaveLength(1);
  const since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 300));
  answered[0]?.();
  await asked;
  await expect.poll(inFlight).toBe(0);
  const scraped = await scrape(ports.admin);
  const labels = { method: 'POST', status_class: '2xx' };
  const seconds = scraped.sum(`${DURATION}_sum`, labels);
  expect(seconds).toBeGreaterThan(0.29);
  expect(seconds).toBeLessThan((performance.now() - since) / 1_000 + 5);
  expect(scraped.sum(`${DURATION}_bucket`, { ...labels, le: '0.1' })).toBe(0);
  expect(scraped.sum(`${DURATION}_bucket`, { ...labels, le: '3600' })).toBe(1);
});

describe('what the proxy answers itself', () => {
  test('refusals', async () => {
    const { ports, expectCounts } = await startBefore((_request, response) => response.end());
    const { ingress } = ports;
    await askRaw(ingress, 'GET http://evil.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await askRaw(ingress, 'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n');
    await askRaw(ingress, 'nonsense\r\n\r\n');
    await askRaw(ingress, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`);
    await askRaw(ingress, handshake('http://evil.test/'));
    await expectCounts({ 'GET 400': 2, 'CONNECT 400': 1, 'other 400': 1, 'other 431': 1 });
  });

  test('strangers', async () => {
    const env = { INGRESS_CLIENTS: '192.0.2.1' };
    const { ports, origin, expectCounts } = await startBefore((_, response) => response.end(), env);
    await ask(origin);
    await askRaw(ports.ingress, handshake());
    await askRaw(ports.ingress, 'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n');
    // Nothing that they say is read.
    await expectCounts({ 'other 403': 3 });
  });

  test('whisper is down', async () => {
    const { ports, origin, expectCounts } = await startBefore(
      `http://127.0.0.1:${await freePort()}`,
    );
    await ask(origin, { method: 'POST' }, 'wave');
    expect((await scrape(ports.admin)).find(FAILURES).map(({ value }) => value)).toEqual([
      1, 0, 0, 0,
    ]);
    await askRaw(ports.ingress, handshake());
    await expectCounts({ 'POST 502': 1, 'GET 502': 1 });
    expect((await scrape(ports.admin)).sum(FAILURES, { reason: 'connection_refused' })).toBe(2);
  });

  test('a redirect to another origin', async () => {
    const { origin, expectCounts } = await startBefore((_request, response) => {
      response.writeHead(307, { Location: 'http://evil.test/' }).end();
    });
    await ask(origin, { method: 'POST' }, 'wave');
    await expectCounts({ 'POST 502': 1 });
  });
});

describe('an answer that is not whole', () => {
  test('a client that went away while whisper was silent', async () => {
    let asked = false;
    const { ports, expectCounts } = await startBefore(() => {
      asked = true;
    });
    const client = open(ports.ingress);
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(() => asked).toBe(true);
    client.destroy();
    await expectCounts({ 'GET client_closed': 1 });
  });

  test('a client that resets the connection in the middle of its upload', async () => {
    let asked = false;
    const { ports, expectCounts } = await startBefore((request) => {
      request
        .on('error', () => undefined)
        .once('data', () => {
          asked = true;
        });
    });
    const client = open(ports.ingress);
    client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nwave');
    await expect.poll(() => asked).toBe(true);
    client.resetAndDestroy();
    await expectCounts({ 'POST client_closed': 1 });
  });

  test('a client that went away before whisper agreed to a WebSocket', async () => {
    let asked = false;
    const { address } = await startRawUpstream(() => {
      asked = true;
    });
    const { ports, expectCounts } = await startBefore(address);
    const client = open(ports.ingress);
    client.write(handshake());
    await expect.poll(() => asked).toBe(true);
    client.destroy();
    await expectCounts({ 'GET client_closed': 1 });
  });

  test('whisper broke it off', async () => {
    const { address } = await startRawUpstream((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwave');
    });
    const { origin, expectCounts } = await startBefore(address);
    await expect(ask(origin)).rejects.toThrow('aborted');
    await expectCounts({ 'GET cut_off': 1 });
  });
});

describe('upgrades', () => {
  test('a WebSocket is a request with 101, and open until it ends', async () => {
    let whisper: Socket | undefined;
    const { address } = await startRawUpstream((socket, head) => {
      whisper = socket;
      socket.write(agreement(head));
    });
    const { ports, expectCounts } = await startBefore(address);
    const client = open(ports.ingress);
    client.write(handshake());
    await readUntil(client, '\r\n\r\n');
    await expectCounts({ 'GET 101': 1 });
    const openOnes = async () => (await scrape(ports.admin)).sum(WEBSOCKETS);
    expect(await openOnes()).toBe(1);
    client.end();
    whisper?.end();
    await expect.poll(openOnes).toBe(0);
    await expectCounts({ 'GET 101': 1 });
  });

  test("one that whisper does not agree to has whisper's status", async () => {
    const { ports, expectCounts } = await startBefore((_request, response) => {
      response.writeHead(404).end('no');
    });
    await askRaw(ports.ingress, handshake());
    await expectCounts({ 'GET 404': 1 });
  });

  test('one that is passed over is one request', async () => {
    const { ports, expectCounts } = await startBefore((_request, response) => response.end('x'));
    const upgrade =
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n';
    expect(await askRaw(ports.ingress, upgrade)).toContain('200 OK');
    await expectCounts({ 'GET 200': 1 });
  });
});

test('bytes count both ways while the connection is open', async () => {
  const { ports } = await startBefore(async (request, response) => {
    await readBody(request);
    response.write('x'.repeat(5_000));
  });
  const client = open(ports.ingress);
  client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n${'x'.repeat(9_000)}`);
  await readUntil(client, 'x'.repeat(5_000));
  const scraped = await scrape(ports.admin);
  expect(scraped.sum(BYTES, { direction: 'in' })).toBe(client.bytesWritten);
  expect(scraped.sum(BYTES, { direction: 'out' })).toBe(client.bytesRead);
  client.destroy();
  await once(client, 'close');
  const later = await scrape(ports.admin);
  expect(later.sum(BYTES, { direction: 'in' })).toBe(client.bytesWritten);
});
