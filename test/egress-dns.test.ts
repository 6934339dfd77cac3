import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { labels, message, queryFor, question } from './helpers/dns-messages.ts';
import { UdpClient } from './helpers/name-server.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { ask, connectTo, RawClient } from './helpers/raw-client.ts';

const DNS = { DNS_LISTEN: '127.0.0.1:0' };
/** The response code of an answer (RFC 1035, section 4.1.1). */
const rcode = (answer: Buffer | undefined) => (answer?.readUInt8(3) ?? 0) & 0x0f;
const [NOERROR, NXDOMAIN, REFUSED] = [0, 3, 5];

async function lookUp(port: number, name: string, type = 1): Promise<Buffer | undefined> {
  const client = await UdpClient.connect(port);
  client.send(queryFor(name, type));
  await client.until(1);
  return client.answers[0];
}

describe('a look-up', () => {
  test('is decided about by the rules, and logged', async () => {
    const proxy = await startProxy({
      ...DNS,
      EGRESS_ALLOW_HF: 'hf.co:8080',
      EGRESS_DENY: 'no.test',
    });
    const { dns } = proxy.ports;
    const allowed = await lookUp(dns, 'HF.co');
    expect([rcode(allowed), [...(allowed?.subarray(-4) ?? [])]]).toEqual([NOERROR, [127, 0, 0, 1]]);
    expect(rcode(await lookUp(dns, 'evil.test', 16))).toBe(NXDOMAIN);
    expect(rcode(await lookUp(dns, 'no.test'))).toBe(NXDOMAIN);
    expect(proxy.decisions()).toMatchObject([
      {
        decision: 'allow',
        rule: 'HF hf.co:8080',
        via: 'dns',
        method: 'A',
        host: 'hf.co',
        port: null,
      },
      {
        decision: 'deny',
        reason: 'not_allowed',
        method: 'TXT',
        host: 'evil.test',
        client: '127.0.0.1',
      },
      { decision: 'deny', reason: 'deny_rule', rule: 'no.test', host: 'no.test' },
    ]);
    expect(proxy.lookups).toEqual([]);
  });

  test('of a name above an allowed one says that it exists, and is in the log as the denial it is', async () => {
    const proxy = await startProxy({ ...DNS, EGRESS_ALLOW: '*.hf.co deep.below.ent.example' });
    for (const name of ['hf.co', 'below.ent.example', 'ent.example', 'example']) {
      const answer = await lookUp(proxy.ports.dns, name);
      expect([name, rcode(answer), answer?.readUInt16BE(6)]).toEqual([name, NOERROR, 0]);
    }
    expect(rcode(await lookUp(proxy.ports.dns, 'other.example'))).toBe(NXDOMAIN);
    for (const line of proxy.decisions()) {
      expect(line).toMatchObject({ decision: 'deny', reason: 'not_allowed', via: 'dns' });
    }
    expect(proxy.decisions()).toHaveLength(5);
  });

  test('of a name that nobody could be asked for is a bad target, escaped in the log', async () => {
    const proxy = await startProxy(DNS);
    const client = await UdpClient.connect(proxy.ports.dns);
    client.send(message({}, question(labels('a\n{"x":1}', 'test'))));
    client.send(message({}, question(labels('hf.co'))));
    client.send(queryFor('127.0.0.1'));
    await client.until(3);
    expect(client.answers.map(rcode)).toEqual([NXDOMAIN, NXDOMAIN, NXDOMAIN]);
    expect(proxy.decisions()).toMatchObject([
      { reason: 'bad_target', host: String.raw`a\x0a{"x":1}.test` },
      { reason: 'bad_target', host: String.raw`hf\\.co` },
      { reason: 'bad_target', host: '127.0.0.1' },
    ]);
  });

  test('that cannot be answered is in the log too, and refused if it is a stranger’s', async () => {
    const odd = [message({}), message({}, question(labels('version', 'bind'), 16, 3))];
    for (const [clients, codes] of [
      ['127.0.0.1', [1, REFUSED]],
      ['127.0.0.9', [REFUSED, REFUSED]],
    ] as const) {
      const proxy = await startProxy({ ...DNS, EGRESS_CLIENTS: clients });
      const client = await UdpClient.connect(proxy.ports.dns);
      for (const query of odd) await client.ask(query);
      expect(client.answers.map(rcode)).toEqual(codes);
      const reason = clients === '127.0.0.1' ? 'bad_target' : 'client_not_allowed';
      expect(proxy.decisions()).toMatchObject([
        { reason, via: 'dns', method: null, host: null, error: 'FORMERR' },
        { reason, via: 'dns', method: 'TXT', host: 'version.bind', error: 'REFUSED' },
      ]);
    }
  });

  test('of the proxy’s own names is answered, and not logged', async () => {
    const proxy = await startProxy({ ...DNS, UPSTREAM: 'http://whisper-gate:7860' });
    for (const name of ['localhost', 'whisper-proxy', 'whisper-gate', '1.0.0.127.in-addr.arpa']) {
      expect(rcode(await lookUp(proxy.ports.dns, name)), name).toBe(NOERROR);
    }
    expect(proxy.decisions()).toEqual([]);
  });

  test('in report mode is answered for any name but a denied one', async () => {
    const proxy = await startProxy({
      ...DNS,
      EGRESS_MODE: 'report',
      EGRESS_DENY: 'no.test *.no.test',
    });
    expect(rcode(await lookUp(proxy.ports.dns, 'any.test'))).toBe(NOERROR);
    expect(rcode(await lookUp(proxy.ports.dns, 'no.test'))).toBe(NXDOMAIN);
    expect(proxy.decisions()).toMatchObject([{ decision: 'would_deny' }, { reason: 'deny_rule' }]);
  });

  test('of a stranger is refused, for whatever name', async () => {
    const proxy = await startProxy({ ...DNS, EGRESS_CLIENTS: '127.0.0.9', EGRESS_ALLOW: 'hf.co' });
    for (const name of ['hf.co', 'localhost', 'whisper-proxy']) {
      expect(rcode(await lookUp(proxy.ports.dns, name)), name).toBe(REFUSED);
    }
    expect(proxy.decisions()).toMatchObject(
      ['hf.co', 'localhost', 'whisper-proxy'].map((host) => ({
        reason: 'client_not_allowed',
        host,
      })),
    );
  });
});

test('a stranger by TCP is not heard, and is in the log', async () => {
  const proxy = await startProxy({ ...DNS, EGRESS_CLIENTS: '127.0.0.9' });
  const socket = connect(proxy.ports.dns, '127.0.0.1').on('error', () => undefined);
  await soon(() => expect(socket.destroyed).toBe(true));
  expect(proxy.decisions()).toMatchObject([
    { decision: 'deny', reason: 'client_not_allowed', via: 'dns', host: null },
  ]);
});

test('the name server is one of the listeners that are never reached', async () => {
  const proxy = await startProxy({ ...DNS, EGRESS_ALLOW: '127.0.0.0/8:*' });
  const { status } = await ask(proxy.port, connectTo(`127.0.0.1:${proxy.ports.dns}`));
  expect(status).toBe(403);
});

test('the name server stops with the proxy, without waiting for an end that no look-up has', async () => {
  const proxy = await startProxy({ ...DNS, EGRESS_ALLOW: 'hf.co' });
  await lookUp(proxy.ports.dns, 'hf.co');
  let stopped = false;
  const stopping = proxy.stop().then(() => {
    stopped = true;
  });
  // The log would wait for a second for connections that are just ending.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(stopped).toBe(true);
  await stopping;
  await expect(RawClient.connect(proxy.ports.dns)).rejects.toThrow('ECONNREFUSED');
});
