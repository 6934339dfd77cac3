import type { ServerResponse } from 'node:http';
import { expect, test, vi } from 'vitest';
import { open, readUntil, startIngress } from './helpers/ingress.ts';
import { readRest } from './helpers/ingress-websocket.ts';
import { startProxy } from './helpers/proxy.ts';
import { scrape } from './helpers/scrape.ts';
import { startRawUpstream, startUpstream } from './helpers/upstream.ts';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

async function startSilent() {
  const waiting: ServerResponse[] = [];
  const { address } = await startUpstream((_request, response) => waiting.push(response));
  const { port, lines } = await startIngress({ UPSTREAM: address });
  return { waiting, port, lines };
}

test('requests that queue behind each other are all cancelled when their client goes away', async () => {
  const { waiting, port } = await startSilent();
  const client = open(port);
  client.write(GET.repeat(5));
  await vi.waitFor(() => expect(waiting).toHaveLength(5), 15_000);
  client.destroy();
  await vi.waitFor(() => expect(waiting.every(({ destroyed }) => destroyed)).toBe(true), 15_000);
});

test('a body that cannot be read to its end is counted as the 400 that it gets', async () => {
  const { address } = await startUpstream((request) => void request.resume());
  const { ports, events } = await startProxy({ UPSTREAM: address });
  const client = open(ports.ingress);
  client.write(
    'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense',
  );
  await readUntil(client, '400 Bad Request');
  client.destroy();
  await expect
    .poll(async () => {
      const counts = (await scrape(ports.admin)).find('whisper_proxy_ingress_requests_total');
      return counts.flatMap(({ labels, value }) => (value === 0 ? [] : [labels.status]));
    })
    .toEqual(['400']);
  expect(events('ingress')).toMatchObject([{ reason: 'bad_target' }]);
  expect(events('ingress_failure')).toEqual([]);
});

test('an answer that is cut off behind another leaves that one whole, and ends the connection', async () => {
  const { address } = await startRawUpstream((socket, head) => {
    const begin = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n';
    if (head.includes('/cut')) socket.write(`${begin}abc\r\n`, () => socket.resetAndDestroy());
    else {
      socket.write(`${begin}who\r\n`);
      setTimeout(() => socket.end('3\r\nle.\r\n0\r\n\r\n'), 600);
    }
  });
  const { port } = await startIngress({ UPSTREAM: address });
  const client = open(port);
  client.write('/whole /cut'.replace(/(\S+) ?/g, 'GET $1 HTTP/1.1\r\nHost: x\r\n\r\n'));
  const text = await readRest(client);
  expect(text).toMatch(/who[\s\S]*le\.[\s\S]*\r\n0\r\n\r\n$/);
});

test('who says nothing, or half a header, is not waited for', { timeout: 180_000 }, async () => {
  const { port } = await startSilent();
  const clients = [open(port), open(port)];
  clients[1]?.write('GET / HT');
  for (const client of clients) client.resume();
  await vi.waitFor(() => {
    expect(clients.every((client) => client.readableEnded || client.closed)).toBe(true);
  }, 150_000);
});

test('a connection that asks for more than eight things at once is dropped, and logged', async () => {
  const { waiting, port, lines } = await startSilent();
  const client = open(port);
  client.on('error', () => undefined);
  client.resume().write(GET.repeat(2000));
  await vi.waitFor(() => expect(client.readableEnded || client.destroyed).toBe(true), 15_000);
  expect(waiting.length).toBeLessThanOrEqual(8);
  await vi.waitFor(() => expect(waiting.every(({ destroyed }) => destroyed)).toBe(true), 15_000);
  expect(lines()).toMatchObject([{ reason: 'too_many_connections', method: 'GET', host: null }]);
  expect(lines('ingress_failure')).toEqual([]);
});
