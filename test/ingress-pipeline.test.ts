import type { ServerResponse } from 'node:http';
import { expect, test, vi } from 'vitest';
import { open, startIngress } from './helpers/ingress.ts';
import { startUpstream } from './helpers/upstream.ts';

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
