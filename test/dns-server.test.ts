import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { NameServer } from '../src/dns/server.ts';
import { createLogger } from '../src/log/logger.ts';
import { ListenError } from '../src/net/listener.ts';
import type { Verdict } from '../src/policy/decide.ts';
import {
  decodeAnswer,
  ID,
  labels,
  message,
  opt,
  option,
  queryFor,
  question,
} from './helpers/dns-messages.ts';
import { freePort } from './helpers/free-port.ts';
import { ALLOW, DENY, PROXY, startNameServer, UdpClient } from './helpers/name-server.ts';
import { soon } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { RawClient } from './helpers/raw-client.ts';

const AAAA = 28;
const PTR = 12;

/** One look-up by UDP: its code, and the data of its records. */
async function lookUp(port: number, name: string, type?: number): Promise<[string, unknown[]]> {
  const client = await UdpClient.connect(port);
  const { rcode, answers } = decodeAnswer(await client.ask(queryFor(name, type)));
  return [rcode, answers.map((answer) => ('data' in answer ? answer.data : null))];
}

/** A verdict that waits until it is decided. */
function undecided(): { verdict: Promise<Verdict>; decide: (verdict: Verdict) => void } {
  let decide: (verdict: Verdict) => void = () => undefined;
  const verdict = new Promise<Verdict>((resolve) => {
    decide = resolve;
  });
  return { verdict, decide };
}

describe('the answer', () => {
  test.each<[string, number | undefined, string, unknown[]]>([
    ['origin.test', undefined, 'NOERROR', [PROXY]],
    ['ORIGIN.test', undefined, 'NOERROR', [PROXY]],
    ['origin.test', AAAA, 'NOERROR', []],
    ['origin.test', PTR, 'NOERROR', []],
    ['evil.test', undefined, 'NXDOMAIN', []],
    ['evil.test', AAAA, 'NXDOMAIN', []],
    ['whisper-proxy', undefined, 'NOERROR', [PROXY]],
    ['whisper-proxy', AAAA, 'NOERROR', []],
    ['whisper-gate', undefined, 'NOERROR', ['127.0.0.1']],
    ['localhost', undefined, 'NOERROR', ['127.0.0.1']],
    ['localhost', AAAA, 'NOERROR', []],
    ['53.2.0.192.in-addr.arpa', PTR, 'NOERROR', ['whisper-proxy']],
    ['53.2.0.192.in-addr.arpa', undefined, 'NOERROR', []],
    ['1.0.0.127.in-addr.arpa', PTR, 'NOERROR', ['whisper-gate']],
    ['8.8.8.8.in-addr.arpa', PTR, 'NXDOMAIN', []],
    ['2.0.192.in-addr.arpa', PTR, 'NOERROR', []],
    ['0.0.127.in-addr.arpa', PTR, 'NOERROR', []],
    ['IN-ADDR.arpa', undefined, 'NOERROR', []],
    ['arpa', undefined, 'NOERROR', []],
    ['1.192.in-addr.arpa', PTR, 'NXDOMAIN', []],
    ['below.whisper-proxy', undefined, 'NXDOMAIN', []],
  ])('to %s, type %s, is %s %j', async (name, type, rcode, data) => {
    const { port } = await startNameServer();
    expect(await lookUp(port, name, type)).toEqual([rcode, data]);
  });

  test('to the root is that it exists, as it does', async () => {
    const { port, lookups } = await startNameServer();
    const client = await UdpClient.connect(port);
    const answer = decodeAnswer(await client.ask(message({}, question(labels(), 2))));
    expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(lookups).toMatchObject([{ name: '', type: 'NS' }]);
  });

  test.each<[Verdict, string, unknown[]]>([
    [ALLOW, 'NOERROR', [PROXY]],
    [{ decision: 'would_deny', reason: 'not_allowed', rule: null }, 'NOERROR', [PROXY]],
    [DENY, 'NXDOMAIN', []],
    [{ ...DENY, hasNamesBelow: true }, 'NOERROR', []],
    [{ ...DENY, reason: 'client_not_allowed', hasNamesBelow: true }, 'REFUSED', []],
    [{ decision: 'deny', reason: 'deny_rule', rule: 'a.test' }, 'NXDOMAIN', []],
    [{ decision: 'deny', reason: 'client_not_allowed', rule: null }, 'REFUSED', []],
  ])('goes by the verdict %j', async (verdict, rcode, data) => {
    const { port } = await startNameServer(async () => verdict);
    expect(await lookUp(port, 'a.test')).toEqual([rcode, data]);
  });

  test('to a name of the proxy’s own depends on who asks as well', async () => {
    const { port, lookups } = await startNameServer(async () => ({
      ...DENY,
      reason: 'client_not_allowed',
    }));
    expect(await lookUp(port, 'localhost')).toEqual(['REFUSED', []]);
    expect(lookups).toEqual([
      { name: 'localhost', type: 'A', client: '127.0.0.1', own: true, fault: null },
    ]);
  });

  test('is SERVFAIL where we fail, and that is logged', async () => {
    const { port, lines } = await startNameServer(() => Promise.reject(new Error('broken')));
    expect(await lookUp(port, 'origin.test')).toEqual(['SERVFAIL', []]);
    expect(lines).toMatchObject([
      { level: 'error', msg: 'a look-up failed', err: { message: 'broken' } },
    ]);
  });

  test('repeats what it cannot write: letter case, and bytes that are no text', async () => {
    const { port, lookups } = await startNameServer(async () => ALLOW);
    const client = await UdpClient.connect(port);
    const asked = question(labels('oRiGiN.\\', '\xff\xc3\x28'));
    const answer = await client.ask(message({}, asked));
    expect(answer.subarray(12, 12 + asked.length)).toEqual(asked);
    expect(lookups).toMatchObject([{ name: 'oRiGiN\\.\\\\.\xff\xc3\x28', own: false }]);
  });

  test('has another code where no name is looked up', async () => {
    const { port, lookups } = await startNameServer();
    const client = await UdpClient.connect(port);
    const name = labels('origin', 'test');
    const rcodes = [];
    for (const bytes of [
      message({}),
      message({ flags: 0x2800 }),
      message({}, question(name, 16, 3)),
      message({ counts: [1, 0, 0, 1] }, question(name), opt({ version: 1 })),
    ]) {
      const { id, rcode } = decodeAnswer(await client.ask(bytes));
      expect(id).toBe(ID);
      rcodes.push(rcode);
    }
    // The last is BADVERS, the rest of which stands in the OPT.
    expect(rcodes).toEqual(['FORMERR', 'NOTIMP', 'REFUSED', 'NOERROR']);
    // They are told of all the same: who asks may be a stranger, and each refusal is logged.
    expect(lookups.map(({ name: asked, fault }) => `${fault} ${asked}`)).toEqual([
      'FORMERR ',
      'NOTIMP ',
      'REFUSED origin.test',
      'BADVERS origin.test',
    ]);
  });
});

describe('a datagram', () => {
  test.each([
    ['of nothing', Buffer.alloc(0)],
    ['of 11 bytes', queryFor('origin.test').subarray(0, 11)],
    ['that is an answer', message({ flags: 0x8180 }, question(labels('origin', 'test')))],
  ])('%s gets no answer', async (_, silent) => {
    const { port } = await startNameServer();
    const client = await UdpClient.connect(port);
    const answer = await client.send(silent).ask(queryFor('origin.test', 1, 2));
    expect(answer.readUInt16BE(0)).toBe(2);
    expect(client.answers).toHaveLength(1);
  });

  test('as long as datagrams can be gets a header', async () => {
    const { port } = await startNameServer();
    const client = await UdpClient.connect(port);
    const options = option(12, Buffer.alloc(65_507 - 12 - 17 - 11 - 4));
    const longest = message(
      { counts: [1, 0, 0, 1] },
      question(labels('origin', 'test')),
      opt({ options }),
    );
    expect(longest).toHaveLength(65_507);
    expect(await client.ask(longest)).toEqual(message({ flags: 0x8581, counts: [0, 0, 0, 0] }));
    expect(await lookUp(port, 'origin.test')).toEqual(['NOERROR', [PROXY]]);
  });

  test('goes unheard while 512 look-ups wait, and no longer', async () => {
    const { verdict: released, decide: release } = undecided();
    const { port, lookups, dropped } = await startNameServer(async ({ name }) =>
      name === 'by-tcp' ? ALLOW : released,
    );
    const client = await UdpClient.connect(port);
    const lookedUp = (count: number) => soon(() => expect(lookups).toHaveLength(count));
    // A few at a time, so that they fit into the socket's buffer.
    for (let count = 64; count <= 512; count += 64) {
      client.send(...Array(64).fill(queryFor('waits.test')));
      await lookedUp(count);
    }
    client.send(...Array(64).fill(queryFor('unheard.test')));
    // Answered only after what came before it by UDP was read.
    const tcp = await RawClient.connect(port);
    const query = queryFor('by-tcp');
    tcp.send(`\0${String.fromCharCode(query.length)}${query.toString('latin1')}`);
    await tcp.until('by-tcp');
    await lookedUp(513);
    release(ALLOW);
    // Not all 512, which need not fit into the client's buffer.
    await client.until(64);
    client.send(queryFor('heard.test'));
    await soon(() => expect(lookups.at(-1)).toMatchObject({ name: 'heard.test' }));
    expect(lookups.map(({ name }) => name)).not.toContain('unheard.test');
    expect(dropped).toEqual(Array(64).fill('127.0.0.1'));
  });
});

describe('where it listens', () => {
  const listen = async (host: string, port: number) => {
    const server = new NameServer({
      address: PROXY,
      proxyNames: [],
      clientNames: [],
      admit: async () => DENY,
      admitClient: async () => true,
      onDrop: () => undefined,
      logger: createLogger('info', { write: () => undefined }),
    });
    cleanUp(() => server.stop());
    return server.listen({ kind: 'tcp', host, port }, 'DNS_LISTEN');
  };

  test('is one port, for both', async () => {
    const port = await freePort();
    expect(await listen('127.0.0.1', port)).toEqual({ kind: 'tcp', host: '127.0.0.1', port });
    expect(await lookUp(port, 'a.test')).toEqual(['NXDOMAIN', []]);
    await RawClient.connect(port);
  });

  test('is not one that is taken for TCP', async () => {
    const other = createServer();
    const port = await freePort();
    other.listen(port, '127.0.0.1');
    await once(other, 'listening');
    cleanUp(() => other.close());
    await expect(listen('127.0.0.1', port)).rejects.toThrow(
      new ListenError(
        `DNS_LISTEN=127.0.0.1:${port}: something else listens there; stop it, or set DNS_LISTEN to another port`,
      ),
    );
    const udp = createSocket('udp4').bind(port, '127.0.0.1');
    cleanUp(() => udp.close());
    await once(udp, 'listening');
  });

  test('is not one that is taken for UDP, and TCP is closed again', async () => {
    const port = await freePort();
    const other = createSocket('udp4').bind(port, '127.0.0.1');
    await once(other, 'listening');
    cleanUp(() => other.close());
    await expect(listen('127.0.0.1', port)).rejects.toThrow(/^DNS_LISTEN=.*something else listens/);
    const [error] = await once(connect(port, '127.0.0.1'), 'error').catch((err) => [err]);
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('is an address of this machine', async () => {
    await expect(listen('192.0.2.1', 5353)).rejects.toThrow(
      /^DNS_LISTEN=192\.0\.2\.1:5353: this machine does not have that address/,
    );
  });
});

describe('stopping', () => {
  test('closes both, and every connection', async () => {
    // So that none ends by being idle.
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    cleanUp(() => vi.useRealTimers());
    const { port, stop } = await startNameServer();
    const client = await RawClient.connect(port);
    await stop();
    await client.untilEnded();
    const udp = createSocket('udp4').bind(port, '127.0.0.1');
    cleanUp(() => udp.close());
    await once(udp, 'listening');
    await expect(RawClient.connect(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('does not wait for look-ups, and they do no harm afterwards', async () => {
    const { verdict, decide } = undecided();
    const { port, lookups, lines, stop } = await startNameServer(() => verdict);
    (await UdpClient.connect(port)).send(queryFor('origin.test'));
    await soon(() => expect(lookups).toHaveLength(1));
    await stop();
    decide(ALLOW);
    await verdict;
    expect(lines).toEqual([]);
  });

  test('may be done twice', async () => {
    const { stop } = await startNameServer();
    await stop();
    await stop();
  });
});
