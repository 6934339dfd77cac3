import { describe, expect, test } from 'vitest';
import { decodeAnswer, queryFor } from './helpers/dns-messages.ts';
import { freePort } from './helpers/free-port.ts';
import { UdpClient } from './helpers/name-server.ts';
import { startAnswering, startTarget } from './helpers/origin.ts';
import { type Line, soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';
import { type Scrape, scrape } from './helpers/scrape.ts';

const DECISIONS = 'whisper_proxy_decisions_total';
const OPEN = 'whisper_proxy_egress_open_connections';
const BYTES = 'whisper_proxy_egress_bytes_total';
const DURATION = 'whisper_proxy_egress_connection_duration_seconds';
const KIB = 1024;
const EVERY_WAY_IN = {
  EGRESS_TLS_LISTEN: '127.0.0.1:0',
  EGRESS_HTTP_LISTEN: '127.0.0.1:0',
  DNS_LISTEN: '127.0.0.1:0',
};

/** The counts that are not 0, as `event decision reason group via`. */
function counted(scraped: Scrape): Record<string, number> {
  return Object.fromEntries(
    scraped.find(DECISIONS).flatMap(({ labels, value }) => {
      const { event, decision, reason, group, via } = labels;
      return value === 0 ? [] : [[`${event} ${decision} ${reason} ${group} ${via}`, value]];
    }),
  );
}

function get(url: string, host: string): string {
  return `GET ${url} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

describe('decisions', () => {
  test('are counted by decision, reason, group and way in', async () => {
    const target = await startAnswering('HTTP/1.1 204 No Content\r\n\r\n', 'end');
    const env = {
      ...EVERY_WAY_IN,
      EGRESS_ALLOW: `127.0.0.1:${target.port} 127.0.0.1:${await freePort()} gone.test`,
      EGRESS_ALLOW_MODELS: `origin.test:${target.port} lost.test:${target.port}`,
      EGRESS_DENY_NOISE: 'noise.test',
    };
    const proxy = await startProxy(env, { 'origin.test': ['127.0.0.1'] });
    const { port, ports } = proxy;
    await ask(port, get(`http://origin.test:${target.port}/`, `origin.test:${target.port}`));
    await ask(port, get(`http://127.0.0.1:${target.port}/`, `127.0.0.1:${target.port}`));
    await ask(port, connectTo(`lost.test:${target.port}`));
    await ask(port, connectTo('evil.test:443'));
    await ask(port, connectTo('evil.test:443'));
    await ask(port, connectTo('noise.test:443'));
    await ask(port, connectTo('nonsense'));
    await ask(port, 'nonsense\r\n\r\n');
    await ask(ports.http, get('/', 'noise.test'));
    await (await RawClient.connect(ports.tls)).send('GET / HTTP/1.0\r\n\r\n').untilEnded();
    const resolver = await UdpClient.connect(ports.dns);
    expect(decodeAnswer(await resolver.ask(queryFor('evil.test'))).rcode).toBe('NXDOMAIN');
    expect(decodeAnswer(await resolver.ask(queryFor('origin.test'))).rcode).toBe('NOERROR');
    expect(counted(await scrape(ports.admin))).toEqual({
      'egress allow none MODELS http': 1,
      'egress allow none none http': 1,
      'egress deny dns_error MODELS connect': 1,
      'egress deny not_allowed none connect': 2,
      'egress deny deny_rule NOISE connect': 1,
      'egress deny bad_target none connect': 1,
      'egress deny bad_target none http': 1,
      'egress deny deny_rule NOISE transparent_http': 1,
      'egress deny no_sni none tls': 1,
      'egress deny not_allowed none dns': 1,
      'egress allow none MODELS dns': 1,
    });
  });

  test('that would deny, and that take an admission back', async () => {
    const target = await startTarget();
    const env = { EGRESS_MODE: 'report', EGRESS_MAX_UPLOAD_MODELS: '1KiB' };
    const models = { EGRESS_ALLOW_MODELS: `origin.test:${target.port}` };
    const names = { 'other.test': ['127.0.0.1'] };
    const proxy = await startProxyTo(
      target.port,
      { ...env, ...models, EGRESS_ALLOW: `127.0.0.1:${target.port}` },
      names,
    );
    await openTunnel(proxy.port, `other.test:${target.port}`);
    const greedy = await openTunnel(proxy.port, `origin.test:${target.port}`);
    await greedy.send('x'.repeat(2 * KIB)).untilEnded();
    await proxy.ends(1);
    expect(counted(await scrape(proxy.ports.admin))).toEqual({
      'egress would_deny not_allowed none connect': 1,
      'egress allow none MODELS connect': 1,
      'egress deny upload_limit MODELS connect': 1,
    });
  });

  test('of which a hundred are one line in the log are a hundred here', async () => {
    const proxy = await startProxy();
    const client = await RawClient.connect(proxy.port);
    for (let count = 0; count < 100; count += 1) {
      expect((await client.send(get('http://evil.test/', 'evil.test')).answer()).status).toBe(403);
    }
    expect(proxy.decisions()).toHaveLength(1);
    expect(counted(await scrape(proxy.ports.admin))).toEqual({
      'egress deny not_allowed none http': 100,
    });
  });

  test('are all there with 0 before anything is decided, and no other comes with traffic', async () => {
    const { ports, port } = await startProxy({
      ...EVERY_WAY_IN,
      EGRESS_ALLOW_MODELS: '*.hf.co',
      EGRESS_DENY_NOISE: 'noise.test',
    });
    const before = await scrape(ports.admin);
    expect(counted(before)).toEqual({});
    const of = (labels: Record<string, string>) => before.find(DECISIONS, labels).length;
    expect(of({ reason: 'not_allowed', decision: 'deny', group: 'none' })).toBe(5);
    expect(of({ reason: 'connect_failed', group: 'MODELS' })).toBe(4);
    expect(of({ reason: 'deny_rule', group: 'NOISE' })).toBe(5);
    expect(of({ event: 'ingress', reason: 'client_not_allowed' })).toBe(2);
    expect(of({ event: 'ingress', reason: 'too_many_connections' })).toBe(1);
    expect(of({ event: 'egress', reason: 'too_many_connections' })).toBe(5);
    await ask(port, connectTo('evil.test:443'));
    await ask(port, connectTo('a.noise.test:443'));
    // Plain HTTP to port 443 is no TLS.
    await ask(port, get('http://a.hf.co:443/', 'a.hf.co:443'));
    await ask(ports.http, get('/', 'a.hf.co:443'));
    expect(counted(await scrape(ports.admin))).toMatchObject({
      'egress deny no_sni MODELS http': 1,
      'egress deny no_sni MODELS transparent_http': 1,
    });
    await ask(ports.ingress, get('http://evil.test/', 'evil.test'));
    const after = await scrape(ports.admin);
    expect(after.find(DECISIONS)).toHaveLength(before.find(DECISIONS).length);
  });

  test('by ways in that are closed are not there', async () => {
    const { ports } = await startProxy();
    const ways = (await scrape(ports.admin)).find(DECISIONS).map(({ labels }) => labels.via);
    expect(new Set(ways)).toEqual(new Set(['connect', 'http']));
  });
});

describe('connections', () => {
  test('are open, carry bytes that count at once, and end', async () => {
    const target = await startTarget((socket) => socket.write('y'.repeat(3 * KIB)));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('x'.repeat(2 * KIB));
    await client.until('y'.repeat(3 * KIB));
    await soon(() => expect(target.received[0]).toHaveLength(2 * KIB));
    const during = await scrape(proxy.ports.admin);
    expect(during.sum(OPEN, { via: 'connect' })).toBe(1);
    expect(during.sum(OPEN, { via: 'http' })).toBe(0);
    expect(during.sum(BYTES, { direction: 'out', via: 'connect' })).toBe(2 * KIB);
    expect(during.sum(BYTES, { direction: 'in', via: 'connect' })).toBe(3 * KIB);
    expect(during.sum(`${DURATION}_count`)).toBe(0);
    client.send('more').socket.end();
    target.sockets[0]?.end('and more');
    const [end] = (await proxy.ends(1)) as [Line];
    const after = await scrape(proxy.ports.admin);
    expect(after.sum(OPEN)).toBe(0);
    expect(after.sum(BYTES, { direction: 'out' })).toBe(end.bytes_out);
    expect(after.sum(BYTES, { direction: 'in' })).toBe(end.bytes_in);
    expect(after.sum(`${DURATION}_count`, { via: 'connect' })).toBe(1);
    expect(after.sum(`${DURATION}_sum`) * 1_000).toBeCloseTo(Number(end.duration_ms));
  });

  test('that are denied, or cannot be made, are none', async () => {
    const gone = await freePort();
    const proxy = await startProxyTo(gone);
    await ask(proxy.port, connectTo('evil.test:443'));
    await ask(proxy.port, connectTo(`origin.test:${gone}`));
    const scraped = await scrape(proxy.ports.admin);
    expect(counted(scraped)).toMatchObject({ 'egress deny connect_failed none connect': 1 });
    expect(scraped.sum(OPEN)).toBe(0);
    expect(scraped.sum(BYTES)).toBe(0);
    expect(scraped.sum(`${DURATION}_count`)).toBe(0);
  });

  test('that break off what they still had to send never count backwards', async () => {
    const target = await startTarget((socket) => void socket.pause());
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('x'.repeat(8 * KIB * KIB));
    const sent = async () => (await scrape(proxy.ports.admin)).sum(BYTES, { direction: 'out' });
    await expect.poll(sent).toBeGreaterThan(0);
    const before = await sent();
    target.sockets[0]?.resetAndDestroy();
    await proxy.ends(1);
    expect(await sent()).toBeGreaterThanOrEqual(before);
  });
});
