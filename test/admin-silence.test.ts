import { once } from 'node:events';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { startProxy } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';

test.each(['', 'GET /heal'])(
  'connections that have said %j shut nobody out for long',
  async (text) => {
    const proxy = await startProxy();
    const clients = await Promise.all(
      Array.from({ length: 64 }, () => RawClient.connect(proxy.ports.admin)),
    );
    for (const client of clients) if (text !== '') client.send(text);
    const since = performance.now();
    const closed = clients.map(({ socket }) => socket.closed || once(socket.resume(), 'end'));
    await Promise.all(closed);
    const took = performance.now() - since;
    const { statusCode } = await request(`http://127.0.0.1:${proxy.ports.admin}/healthz`);
    expect(statusCode).toBe(200);
    // Node's own interval is thirty seconds; nothing else here takes more than six.
    expect(took).toBeLessThan(25_000);
  },
);
