import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { IngressFailure, IngressRequest, RequestEnd } from '../src/ingress/observer.ts';
import { IngressLog } from '../src/log/ingress-log.ts';
import { createLogger } from '../src/log/logger.ts';
import { freePort } from './helpers/free-port.ts';
import { ask, askRaw, type Ingress, open, startIngress } from './helpers/ingress.ts';
import { handshake } from './helpers/ingress-websocket.ts';
import { soon, startProxy } from './helpers/proxy.ts';
import { startCanned, startRawUpstream, startUpstream } from './helpers/upstream.ts';

type Line = Record<string, unknown>;

const CUT = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwave';

/** What each kind of failure of whisper leaves in the log, whoever asked. */
const FAILURES: [string, () => Promise<string>, Record<string, string>, Line][] = [
  [
    'nobody listens',
    async () => `http://127.0.0.1:${await freePort()}`,
    {},
    { reason: 'connection_refused', error: 'ECONNREFUSED', status: 502 },
  ],
  [
    'its socket is missing',
    async () => 'unix:/tmp/no-such.sock',
    {},
    { reason: 'connection_refused', error: 'ENOENT', status: 502 },
  ],
  [
    'it cannot be reached in time',
    async () => 'http://whisper-gate:7860',
    { INGRESS_CONNECT_TIMEOUT: '100ms' },
    { reason: 'connection_timeout', error: 'ETIMEDOUT', status: 504 },
  ],
  [
    'it resets the connection before it answers',
    async () => (await startRawUpstream((socket) => void socket.resetAndDestroy())).address,
    {},
    { reason: 'connection_terminated', error: expect.any(String), status: 502 },
  ],
  [
    'its answer is none',
    async () => (await startCanned('HTTP/9.9 nonsense\r\n\r\n')).address,
    {},
    { reason: 'http_protocol_error', error: expect.any(String), status: 502 },
  ],
  [
    'its answer ends too early',
    async () => (await startCanned(CUT)).address,
    {},
    { reason: 'connection_terminated', error: expect.any(String), status: 'cut_off' },
  ],
];

/** Never answers for whisper-gate. */
const resolve = (name: string) =>
  name === 'whisper-gate' ? new Promise<string[]>(() => undefined) : Promise.resolve([name]);

describe('what ingress logs', () => {
  test.each(FAILURES)('a failure: %s', async (_what, upstream, env, expected) => {
    const { origin, lines } = await startIngress({ UPSTREAM: await upstream(), ...env }, resolve);
    await ask(`${origin}/a/path?query`, { method: 'POST' }, 'recording').catch(() => undefined);
    await soon(() => expect(lines('ingress_failure')).toHaveLength(1));
    const [line] = lines('ingress_failure');
    expect(line).toEqual({
      ...{ level: 'warn', time: expect.any(String), event: 'ingress_failure' },
      ...{ client: '127.0.0.1', method: 'POST', duration_ms: expect.any(Number) },
      ...expected,
    });
    expect(lines('ingress_request')).toEqual([]);
  });

  test('a failure of a WebSocket', async () => {
    const { port, lines } = await startIngress({
      UPSTREAM: `http://127.0.0.1:${await freePort()}`,
    });
    await askRaw(port, handshake());
    expect(lines('ingress_failure')).toMatchObject([
      { reason: 'connection_refused', error: 'ECONNREFUSED', method: 'GET', status: 502 },
    ]);
  });

  test('no failure: whatever whisper itself answers', async () => {
    const { address } = await startUpstream((_request, response) => {
      response.writeHead(502, { 'Proxy-Status': 'x; error=connection_refused' }).end();
    });
    const { origin, lines } = await startIngress({ UPSTREAM: address });
    expect((await ask(origin)).status).toBe(502);
    expect(lines('ingress_failure')).toEqual([]);
  });

  test('no failure: a client that goes away, and a request that is refused', async () => {
    let asked = 0;
    const { address } = await startUpstream(() => {
      asked += 1;
    });
    const env = { UPSTREAM: address, LOG_REQUESTS: 'true' };
    const { port, lines } = await startIngress(env);
    const client = open(port);
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await soon(() => expect(asked).toBe(1));
    client.destroy();
    await soon(() => expect(lines('ingress_request')).toHaveLength(1));
    expect(lines('ingress_request')[0]).toMatchObject({ status: 'client_closed' });
    await askRaw(port, 'GET http://evil.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await askRaw(port, 'nonsense\r\n\r\n');
    expect(lines()).toHaveLength(2);
    expect(lines('ingress_request')).toHaveLength(1);
    expect(lines('ingress_failure')).toEqual([]);
  });
});

describe('LOG_REQUESTS=true', () => {
  const startLogging = async (upstream: string): Promise<Ingress> =>
    startIngress({ UPSTREAM: upstream, LOG_REQUESTS: 'true' });

  test('each request has a line, without its path', async () => {
    const { address } = await startUpstream((request, response) => {
      request.resume().on('end', () => response.writeHead(201).end('y'.repeat(5_000)));
    });
    const { origin, lines } = await startLogging(address);
    await ask(`${origin}/secret?token=secret`, { method: 'PUT' }, 'x'.repeat(9_000));
    await soon(() => expect(lines('ingress_request')).toHaveLength(1));
    const [line] = lines('ingress_request');
    expect(line).toEqual({
      ...{ level: 'info', time: expect.any(String), event: 'ingress_request' },
      ...{ client: '127.0.0.1', method: 'PUT', status: 201 },
      ...{ bytes_in: expect.any(Number), bytes_out: expect.any(Number) },
      duration_ms: expect.any(Number),
    });
    expect(line?.bytes_in).toBeGreaterThan(9_000);
    expect(line?.bytes_in).toBeLessThan(9_500);
    expect(line?.bytes_out).toBeGreaterThan(5_000);
    expect(line?.bytes_out).toBeLessThan(5_500);
    expect(JSON.stringify(line)).not.toContain('secret');
  });

  test('on one connection, each has its own bytes', async () => {
    const { address } = await startUpstream((request, response) => {
      response.end('y'.repeat(Number(request.url?.slice(1))));
    });
    const { port, lines } = await startLogging(address);
    const client = open(port);
    client.resume();
    for (const [index, length] of [9_000, 10, 3_000].entries()) {
      client.write(`GET /${length} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await soon(() => expect(lines('ingress_request')).toHaveLength(index + 1));
    }
    const bytes = lines('ingress_request').map(({ bytes_out }) => Number(bytes_out));
    for (const [index, length] of [9_000, 10, 3_000].entries()) {
      expect(bytes[index]).toBeGreaterThan(length);
      expect(bytes[index]).toBeLessThan(length + 400);
    }
    await soon(() => expect(bytes.reduce((sum, each) => sum + each, 0)).toBe(client.bytesRead));
    const sent = lines('ingress_request').reduce((sum, line) => sum + Number(line.bytes_in), 0);
    expect(sent).toBe(client.bytesWritten);
  });

  test('one that failed says why, beside the line of the failure', async () => {
    const { origin, lines } = await startLogging(`http://127.0.0.1:${await freePort()}`);
    for (let times = 0; times < 3; times += 1) await ask(origin);
    await soon(() => expect(lines('ingress_request')).toHaveLength(3));
    expect(lines('ingress_request')[2]).toMatchObject({
      ...{ status: 502, reason: 'connection_refused', error: 'ECONNREFUSED' },
    });
    expect(lines('ingress_failure')).toHaveLength(1);
  });

  test('can be switched by a reload', async () => {
    const { address } = await startUpstream((_request, response) => response.end());
    const names = { '127.0.0.1': ['127.0.0.1'] };
    const proxy = await startProxy({ UPSTREAM: address }, names);
    const get = () => ask(`http://127.0.0.1:${proxy.ports.ingress}/`);
    await get();
    proxy.reload({ UPSTREAM: address, LOG_REQUESTS: 'true' });
    await get();
    await soon(() => expect(proxy.events('ingress_request')).toHaveLength(1));
    proxy.reload({ UPSTREAM: address });
    await get();
    expect(proxy.events('ingress_request')).toHaveLength(1);
  });
});

describe('in bounds', () => {
  const REQUEST: IngressRequest = {
    ...{ client: '10.89.1.5', method: 'POST', started: 0 },
    bytes: () => ({ in: 0, out: 0 }),
  };
  const REFUSED: IngressFailure = { reason: 'connection_refused', error: 'ECONNREFUSED' };
  const END: RequestEnd = {
    ...{ outcome: 502, duration_ms: 1.4, bytes_in: 10, bytes_out: 20 },
    ...{ denied: null, failure: REFUSED },
  };

  let lines: Line[];
  const createLog = (requests = false) => {
    lines = [];
    const write = (text: string) => lines.push(JSON.parse(text) as Line);
    return new IngressLog(createLogger('silent', { write }), requests);
  };

  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('failures of one kind and client are one line, and a later one that counts them', () => {
    const log = createLog();
    for (const method of ['POST', 'GET', 'GET']) log.requestEnded({ ...REQUEST, method }, END);
    expect(lines).toMatchObject([{ method: 'POST', status: 502, duration_ms: 1 }]);
    vi.advanceTimersByTime(10_000);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toEqual({
      ...{ level: 'warn', time: expect.any(String), event: 'ingress_failure', ...REFUSED },
      // What they do not share it does not say.
      ...{ client: '10.89.1.5', method: null, status: 502, repeated: 2 },
    });
    log.requestEnded(REQUEST, END);
    expect(lines).toHaveLength(3);
  });

  test.each<[string, Partial<IngressRequest>, Partial<RequestEnd>]>([
    ['another client', { client: '10.89.1.6' }, {}],
    ['another reason', {}, { failure: { ...REFUSED, reason: 'connection_timeout' } }],
    ['another error', {}, { failure: { ...REFUSED, error: 'ENOENT' } }],
    ['another status', {}, { outcome: 'cut_off' }],
  ])('%s is another kind', (_what, request, end) => {
    const log = createLog();
    log.requestEnded(REQUEST, END);
    log.requestEnded({ ...REQUEST, ...request }, { ...END, ...end });
    expect(lines).toHaveLength(2);
  });

  test('past 20 lines a second the rest is counted by reason, and nothing is lost', () => {
    const log = createLog();
    for (let index = 0; index < 500; index += 1) {
      log.requestEnded({ ...REQUEST, client: `10.0.${index}.1` }, END);
    }
    expect(lines).toHaveLength(20);
    log.close();
    expect(lines).toHaveLength(21);
    expect(lines[20]).toMatchObject({
      ...{ reason: 'connection_refused', client: null, status: null, repeated: 480 },
    });
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(21);
  });

  test('past 200 requests a second the rest is counted', () => {
    const log = createLog(true);
    for (let index = 0; index < 500; index += 1) {
      log.requestEnded(REQUEST, { ...END, outcome: 200, failure: null });
    }
    vi.advanceTimersByTime(10_000);
    expect(lines).toHaveLength(201);
    expect(lines[200]).toMatchObject({ event: 'ingress_request', client: null, repeated: 300 });
  });
});
