import { Duplex } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { serveStream } from '../src/dns/stream.ts';
import { decodeAnswer, labels, message, queryFor, question } from './helpers/dns-messages.ts';
import { DENY, startNameServer } from './helpers/name-server.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { RawClient } from './helpers/raw-client.ts';
import { scrape } from './helpers/scrape.ts';

/** Messages with their lengths, one character for each byte. */
function framed(...messages: Buffer[]): string {
  const parts = messages.map(
    (bytes) => `\0${String.fromCharCode(bytes.length)}${bytes.toString('latin1')}`,
  );
  return parts.join('');
}

/** The answers that have come on a connection, whole ones only. */
function answers(client: RawClient): Buffer[] {
  let rest = Buffer.from(client.received, 'latin1');
  const messages: Buffer[] = [];
  while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
    const end = 2 + rest.readUInt16BE(0);
    messages.push(rest.subarray(2, end));
    rest = rest.subarray(end);
  }
  return messages;
}

const answerIds = (client: RawClient) => answers(client).map((answer) => answer.readUInt16BE(0));

describe('by TCP', () => {
  test('queries follow each other on a connection', async () => {
    const { port, lookups } = await startNameServer();
    const client = await RawClient.connect(port);
    for (const [index, name] of ['origin.test', 'evil.test', 'localhost'].entries()) {
      client.send(framed(queryFor(name, 1, index)));
      await soon(() => expect(answers(client)).toHaveLength(index + 1));
    }
    expect(answers(client).map((answer) => decodeAnswer(answer).rcode)).toEqual([
      'NOERROR',
      'NXDOMAIN',
      'NOERROR',
    ]);
    expect(lookups).toMatchObject(Array(3).fill({ client: '127.0.0.1' }));
  });

  test('queries that come together are answered in their order', async () => {
    let slow = true;
    const { port } = await startNameServer(async () => {
      // The first takes longest.
      if (slow) await new Promise((resolve) => setTimeout(resolve, 20));
      slow = false;
      return DENY;
    });
    const client = await RawClient.connect(port);
    const ids = Array.from({ length: 100 }, (_, id) => id);
    client.send(framed(...ids.map((id) => queryFor('a.test', 1, id))));
    await soon(() => expect(answerIds(client)).toEqual(ids));
  });

  test('a query may come in any two parts', async () => {
    const { port } = await startNameServer();
    const client = await RawClient.connect(port);
    client.socket.setNoDelay();
    const query = framed(queryFor('origin.test'));
    for (let end = 1; end < query.length; end += 1) {
      client.send(query.slice(0, end));
      // A turn of the event loop, in which it is read by itself.
      await new Promise((resolve) => setTimeout(resolve, 1));
      client.send(query.slice(end));
      await soon(() => expect(answers(client)).toHaveLength(end));
    }
  });

  test('a query may come byte by byte', async () => {
    const { port } = await startNameServer();
    const client = await RawClient.connect(port);
    client.socket.setNoDelay();
    for (const byte of framed(queryFor('origin.test', 1, 1), queryFor('a.test', 1, 2))) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await soon(() => expect(answerIds(client)).toEqual([1, 2]));
  });

  test('who has said everything still gets the answers', async () => {
    const { port } = await startNameServer(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return DENY;
    });
    const client = await RawClient.connect(port);
    client.socket.end(framed(queryFor('a.test', 1, 1), queryFor('b.test', 1, 2)), 'latin1');
    expect(await client.untilEnded()).toBe('end');
    expect(answerIds(client)).toEqual([1, 2]);
  });

  test('what is malformed is answered, and the connection goes on', async () => {
    const { port } = await startNameServer();
    const client = await RawClient.connect(port);
    const bad = message({ counts: [9, 9, 9, 9] });
    const answer = message({ flags: 0x8180 }, question(labels('a')));
    client.send(framed(bad, answer, queryFor('origin.test', 1, 3)));
    await soon(() => expect(answers(client)).toHaveLength(2));
    expect(answers(client).map((bytes) => decodeAnswer(bytes).rcode)).toEqual([
      'FORMERR',
      'NOERROR',
    ]);
  });

  test.each([
    ['0', '\0\0'],
    ['11', '\0\x0b'],
    ['4097', '\x10\x01'],
    ['65535', '\xff\xff'],
  ])('a length of %s ends the connection, after what came before it', async (_, length) => {
    const { port } = await startNameServer();
    const client = await RawClient.connect(port);
    client.send(framed(queryFor('origin.test')) + length);
    expect(await client.untilEnded()).toBe('end');
    expect(answers(client)).toHaveLength(1);
  });

  test('a length that is too great for what comes gets no answer', async () => {
    const { port, lookups } = await startNameServer();
    const client = await RawClient.connect(port);
    client.socket.end(framed(queryFor('origin.test')).replace('\x1d', '\x1e'), 'latin1');
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toBe('');
    expect(lookups).toEqual([]);
  });

  test('a connection that breaks does no harm', async () => {
    const { port } = await startNameServer();
    for (let count = 0; count < 20; count += 1) {
      const client = await RawClient.connect(port);
      client.send(framed(queryFor('origin.test')).repeat(50));
      client.socket.resetAndDestroy();
    }
    const client = await RawClient.connect(port);
    client.send(framed(queryFor('origin.test')));
    await soon(() => expect(answers(client)).toHaveLength(1));
  });

  test('64 connections are served, and another one when one of them has gone', async () => {
    const { port, dropped } = await startNameServer();
    const clients = await Promise.all(Array.from({ length: 64 }, () => RawClient.connect(port)));
    for (const client of clients) client.send(framed(queryFor('origin.test')));
    await soon(() =>
      expect(clients.map((client) => answers(client).length)).toEqual(Array(64).fill(1)),
    );
    const refused = await RawClient.connect(port);
    await refused.untilEnded();
    expect(dropped).toEqual(['127.0.0.1']);
    clients[0]?.socket.destroy();
    await vi.waitFor(async () => {
      const client = await RawClient.connect(port);
      client.send(framed(queryFor('origin.test')));
      await soon(() => {
        if (client.ended === null) expect(answers(client)).toHaveLength(1);
      });
      expect(client.ended).toBeNull();
    }, 60_000);
  });

  test('a connection beyond them is logged once, and counted', async () => {
    const proxy = await startProxy({ DNS_LISTEN: '127.0.0.1:0' });
    const { dns, admin } = proxy.ports;
    const clients = await Promise.all(Array.from({ length: 64 }, () => RawClient.connect(dns)));
    for (let count = 0; count < 5; count += 1) await (await RawClient.connect(dns)).untilEnded();
    expect(clients.every(({ ended }) => ended === null)).toBe(true);
    expect(proxy.decisions()).toMatchObject([
      { reason: 'too_many_connections', via: 'dns', client: '127.0.0.1', host: null },
    ]);
    const labels = { event: 'egress', reason: 'too_many_connections', via: 'dns' };
    expect((await scrape(admin)).sum('whisper_proxy_decisions_total', labels)).toBe(5);
  });

  test('who asks nothing, slowly, or for nothing is let go, and who asks is not', async () => {
    const { port } = await startNameServer();
    const [silent, slow, answering, asking] = await Promise.all([
      RawClient.connect(port),
      RawClient.connect(port),
      RawClient.connect(port),
      RawClient.connect(port),
    ]);
    const query = framed(queryFor('origin.test'));
    const never = framed(message({ flags: 0x8180 }, question(labels('a'))));
    let sent = 0;
    const timer = setInterval(() => {
      slow.send(query.charAt(sent));
      answering.send(never);
      if (sent % 4 === 0) asking.send(query);
      sent += 1;
    }, 500);
    try {
      await vi.waitFor(
        () => {
          for (const client of [silent, slow, answering]) expect(client.ended).not.toBeNull();
        },
        { timeout: 10_000 },
      );
    } finally {
      clearInterval(timer);
    }
    const count = answers(asking).length;
    asking.send(query);
    await soon(() => expect(answers(asking).length).toBeGreaterThan(count));
  });

  test('nothing is read or looked up while an answer waits to be taken', async () => {
    let taken: () => void = () => undefined;
    const written: Buffer[] = [];
    let reads = 0;
    const socket = new Duplex({
      read() {
        reads += 1;
        this.push(Buffer.from(framed(queryFor('a.test', 1, reads)), 'latin1'));
      },
      write(bytes, _, callback) {
        written.push(bytes);
        taken = callback;
      },
    });
    let asked = 0;
    const serving = serveStream(socket, async (bytes) => {
      asked += 1;
      return bytes;
    });
    await soon(() => expect(written).toHaveLength(1));
    // As far as it reads ahead.
    const ahead = await soon(() => {
      expect(socket.readableLength).toBeGreaterThanOrEqual(socket.readableHighWaterMark);
      return reads;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([asked, written.length, reads]).toEqual([1, 1, ahead]);
    taken();
    await soon(() => expect([asked, written.length]).toEqual([2, 2]));
    socket.destroy();
    taken();
    await serving;
  });

  test('everything else goes on between two queries that came together', async () => {
    const socket = new Duplex({
      read: () => undefined,
      write: (_, __, callback) => callback(),
    });
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const turnsAtQueries: number[] = [];
    const serving = serveStream(socket, async (bytes) => {
      turnsAtQueries.push(turns);
      // One that is answered, and one that is not.
      return turnsAtQueries.length % 2 === 0 ? bytes : null;
    });
    socket.push(Buffer.from(framed(queryFor('a.test')).repeat(10), 'latin1'));
    socket.push(null);
    await serving;
    clearImmediate(counting);
    expect(turnsAtQueries).toHaveLength(10);
    expect(new Set(turnsAtQueries).size).toBe(10);
  });
});
