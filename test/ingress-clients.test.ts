import { Agent, type RequestOptions } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ask, type Ingress, open, startIngress } from './helpers/ingress.ts';
import { handshake, readRest } from './helpers/ingress-websocket.ts';
import { failing, startProxy } from './helpers/proxy.ts';
import { scrape } from './helpers/scrape.ts';

const CLIENT = '127.0.0.2';
const STRANGER = '127.0.0.3';

/** What somebody at an address gets for a request in raw bytes. */
async function askFrom(ingress: Ingress, localAddress: string, text: string): Promise<string> {
  const socket = open(ingress.port, localAddress);
  socket.write(text);
  return readRest(socket);
}

const GET = 'GET /config HTTP/1.1\r\nHost: whisper\r\nConnection: close\r\n\r\n';
const HELD_BACK = 'Expect: 100-continue\r\nContent-Length: 3';

describe('a stranger', () => {
  test.each([
    ['an ordinary request', GET],
    ['what cannot be read', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['a header that is too long', `GET / HTTP/1.1\r\nx: ${'x'.repeat(80_000)}\r\n\r\n`],
    ['an upload', `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nbeginning`],
    ['a WebSocket', handshake()],
    [
      'an upgrade',
      handshake().replace('websocket', 'h2c').replace('keep-alive, Upgrade', 'Upgrade, close'),
    ],
    ['an expectation', GET.replace('\r\n\r\n', '\r\nExpect: foo\r\n\r\n')],
    ['a held back upload', GET.replace('\r\n\r\n', `\r\n${HELD_BACK}\r\n\r\n`)],
    ['a request without a Host', GET.replace('Host', 'Guest')],
    ['what cannot be read', 'GARBAGE\r\n\r\n'],
    ['CONNECT', 'CONNECT whisper:7860 HTTP/1.1\r\nHost: whisper\r\n\r\n'],
    ['an absolute target', 'GET http://x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
  ])('is refused %s, and logged', async (_, text) => {
    const ingress = await startIngress({ UPSTREAM: 'embedded', INGRESS_CLIENTS: CLIENT });
    const answer = await askFrom(ingress, STRANGER, text);
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).toMatch(/\r\nx-whisper-proxy-reason: client_not_allowed\r\n/i);
    expect(answer).toMatch(
      /whisper-proxy: this client may not use whisper\. INGRESS_CLIENTS .*\n$/,
    );
    expect(ingress.lines()).toMatchObject([
      { decision: 'deny', reason: 'client_not_allowed', method: null, client: STRANGER },
    ]);
  });

  test('gets one answer for a flood of upgrades, and the end', async () => {
    const ingress = await startIngress({ UPSTREAM: 'embedded', INGRESS_CLIENTS: CLIENT });
    const one = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
    const answers = await askFrom(ingress, STRANGER, one.repeat(500));
    expect(answers.match(/HTTP\/1\.1 403 /g)).toHaveLength(1);
    expect(ingress.lines()).toMatchObject([{ reason: 'client_not_allowed', client: STRANGER }]);
  });

  test('is told why in the status line', async () => {
    const ingress = await startIngress({ UPSTREAM: 'embedded', INGRESS_CLIENTS: CLIENT });
    const phrase = '403 Forbidden (whisper-proxy: this client may not use whisper)';
    expect(await askFrom(ingress, STRANGER, GET)).toContain(`HTTP/1.1 ${phrase}\r\n`);
    expect(await askFrom(ingress, STRANGER, handshake())).toContain(`HTTP/1.1 ${phrase}\r\n`);
  });

  test('cannot take the connections away from a client', async () => {
    const ingress = await startIngress({ UPSTREAM: 'embedded', INGRESS_CLIENTS: CLIENT });
    const strangers = Array.from({ length: 800 }, () => open(ingress.port, STRANGER).resume());
    await vi.waitFor(() => {
      const cut = strangers.filter((socket) => socket.readableEnded || socket.closed);
      expect(cut.length).toBeGreaterThan(600);
    }, 60_000);
    expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 200 /);
    // Hundreds were dropped unheard, and that is one line.
    expect(ingress.lines()).toMatchObject([
      { ...{ decision: 'deny', reason: 'client_not_allowed', client: STRANGER }, host: null },
    ]);
  });

  test('clients beyond the limit are dropped, logged and counted', async () => {
    const { ports, events } = await startProxy({ UPSTREAM: 'embedded', INGRESS_CLIENTS: CLIENT });
    for (let count = 0; count < 700; count += 1) open(ports.ingress, CLIENT).resume();
    const dropped = async () =>
      (await scrape(ports.admin)).sum('whisper_proxy_decisions_total', {
        ...{ event: 'ingress', reason: 'too_many_connections' },
      });
    await expect.poll(dropped, { timeout: 60_000 }).toBe(700 - 512);
    expect(events('ingress')).toMatchObject([
      { ...{ reason: 'too_many_connections', client: CLIENT, via: 'http' }, method: null },
    ]);
  });
});

describe('INGRESS_CLIENTS', () => {
  test.each(['127.0.0.2', '127.0.0.0/30,10.0.0.1', '::ffff:127.0.0.2'])(
    '%s lets 127.0.0.2 in',
    async (clients) => {
      const ingress = await startIngress({ UPSTREAM: 'embedded', INGRESS_CLIENTS: clients });
      expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 200 /);
    },
  );

  test('is not set: everybody may', async () => {
    const ingress = await startIngress({ UPSTREAM: 'embedded' });
    expect(await askFrom(ingress, STRANGER, GET)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('with a name follows it from address to address, and shuts out while it has none', async () => {
    let addresses: string[] | null = [CLIENT];
    const asked: string[] = [];
    const resolve = async (name: string) => {
      if (name.startsWith('127.')) return [name];
      asked.push(name);
      if (addresses === null) throw Object.assign(new Error('no'), { code: 'ENOTFOUND' });
      return addresses;
    };
    const env = { UPSTREAM: 'embedded', INGRESS_CLIENTS: 'session-manager' };
    const ingress = await startIngress(env, resolve);
    const statusFor = async (address: string) =>
      Number((await askFrom(ingress, address, GET)).split(' ')[1]);

    expect(await statusFor(CLIENT)).toBe(200);
    expect(await statusFor(STRANGER)).toBe(403);
    addresses = [STRANGER];
    // It is looked up at most once a second, however many strangers ask.
    await vi.waitFor(async () => expect(await statusFor(STRANGER)).toBe(200), 60_000);
    expect(await statusFor(CLIENT)).toBe(403);
    expect(asked.length).toBeLessThan(6);
    expect(new Set(asked)).toEqual(new Set(['session-manager']));
  });

  test('with a name that is not answered leaves its client the places it has', async () => {
    let answer: () => Promise<string[]> = async () => [CLIENT];
    const ingress = await startNamed(() => answer());
    expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 200 /);
    answer = () => new Promise(() => undefined);
    // Longer than a look-up counts.
    await sleep(5_500);
    const strangers = Array.from({ length: 700 }, () => open(ingress.port, STRANGER).resume());
    for (let count = 0; count < 6; count += 1) {
      expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 200 /);
    }
    for (const stranger of strangers) stranger.destroy();
  });

  test('with a name that moves lets nobody in by an old address, if the look-up is slow', async () => {
    let answer = async () => [CLIENT];
    const ingress = await startNamed(() => answer());
    expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 200 /);
    answer = async () => {
      await sleep(600);
      return ['127.0.0.9'];
    };
    // Longer than an address is good enough for a client that does not wait for the next one.
    await sleep(11_000);
    expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test('with a name that does not exist lets nobody in', async () => {
    const ingress = await startNamed(failing('ENOTFOUND'));
    expect(await askFrom(ingress, CLIENT, GET)).toMatch(/^HTTP\/1\.1 403 /);
    expect(ingress.lines()).toMatchObject([{ reason: 'client_not_allowed', client: CLIENT }]);
  });

  test.each([
    ['an ordinary request', GET],
    ['an upload', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nbeginning'],
    ['a WebSocket', handshake()],
    ['CONNECT', 'CONNECT whisper:7860 HTTP/1.1\r\nHost: whisper\r\n\r\n'],
  ])('with a name that cannot be looked up answers %s with 503, and says why', async (_, text) => {
    const ingress = await startNamed(failing('EAI_AGAIN'));
    const answer = await askFrom(ingress, CLIENT, text);
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toMatch(/\r\nretry-after: 5\r\n/i);
    expect(answer).toMatch(/\r\nx-whisper-proxy-reason: dns_error\r\n/i);
    expect(answer).toContain(
      'session-manager, which INGRESS_CLIENTS names, cannot be looked up (EAI_AGAIN), so',
    );
    expect(ingress.lines()).toMatchObject([
      {
        ...{ decision: 'deny', reason: 'dns_error', error: 'EAI_AGAIN', method: null },
        ...{ host: 'session-manager', client: CLIENT },
      },
    ]);
  });

  test('with a name whose server has gone keeps a client that is known, on its open connection too', async () => {
    let answer: () => Promise<string[]> = async () => [CLIENT];
    const ingress = await startNamed(() => answer());
    const open = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => open.destroy());
    const status = async (options: RequestOptions) =>
      (await ask(`${ingress.origin}/config`, { localAddress: CLIENT, ...options })).status;
    expect(await status({ agent: open })).toBe(200);
    answer = failing('EAI_AGAIN');
    // Longer than a look-up counts.
    await sleep(5_500);
    for (let count = 0; count < 5; count += 1) expect(await status({ agent: open })).toBe(200);
    expect(await status({})).toBe(200);
    expect(await status({ localAddress: STRANGER })).toBe(503);
    answer = failing('ENOTFOUND');
    await vi.waitFor(async () => expect(await status({ agent: open })).toBe(403), 60_000);
  });
});

test.each([
  ['ENOTFOUND', /^INGRESS_CLIENTS names session-manager, which does not exist \(ENOTFOUND\)\. /],
  ['EAI_AGAIN', /^session-manager in INGRESS_CLIENTS cannot be looked up \(EAI_AGAIN\)\. /],
])('health warns of a name that gives %s, before its client has come', async (code, warning) => {
  let answer = failing(code) as () => Promise<string[]>;
  const env = { INGRESS_CLIENTS: 'session-manager' };
  const proxy = await startProxy(env, { 'session-manager': () => answer() });
  const warnings = async () => {
    const { body } = await ask(`http://127.0.0.1:${proxy.ports.admin}/healthz`);
    return (JSON.parse(String(body)) as { warnings: string[] }).warnings;
  };
  await vi.waitFor(
    async () => expect(await warnings()).toContainEqual(expect.stringMatching(warning)),
    60_000,
  );
  answer = async () => [CLIENT];
  await vi.waitFor(
    async () => expect((await warnings()).join()).not.toContain('INGRESS_CLIENTS'),
    60_000,
  );
});

/** Ingress for a client that a name stands for. */
function startNamed(answer: () => Promise<string[]>): Promise<Ingress> {
  const env = { UPSTREAM: 'embedded', INGRESS_CLIENTS: 'session-manager' };
  return startIngress(env, async (name) => (name.startsWith('127.') ? [name] : answer()));
}
