import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { alternateFamilies, DialError, deadline, dial, dialUnix } from '../src/net/dial.ts';
import { reset } from '../src/net/reset.ts';
import { splice } from '../src/net/splice.ts';
import { soon } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';

const PATH = join(tmpdir(), `whisper-proxy-${process.pid}.sock`);

/** Both ends of a connection on loopback. */
async function pair(kind: 'tcp' | 'unix'): Promise<{ near: Socket; far: Socket }> {
  let server: Server | undefined;
  const accepted = new Promise<Socket>((resolve) => {
    server = createServer({ allowHalfOpen: true }, resolve);
  });
  await new Promise<void>((resolve) => {
    const where = kind === 'unix' ? { path: PATH } : { host: '127.0.0.1', port: 0 };
    server?.listen(where, resolve);
  });
  const address = server?.address();
  const where =
    typeof address === 'object' && address
      ? { port: address.port, host: '127.0.0.1' }
      : { path: PATH };
  const far = connect({ ...where, allowHalfOpen: true });
  const near = await accepted;
  server?.close();
  for (const socket of [near, far]) {
    socket.on('error', () => undefined);
    cleanUp(() => socket.destroy());
  }
  return { near, far };
}

describe.each(['tcp', 'unix'] as const)('splice, with %s at the other end', (kind) => {
  test('carries both ways and ends in good order', async () => {
    const [a, b] = [await pair('tcp'), await pair(kind)];
    const over = splice(a.near, b.near, { idleTimeout: 0 });
    b.far.pipe(b.far);
    const echoed = a.far.toArray();
    a.far.end('hello');
    expect(String(Buffer.concat(await echoed))).toBe('hello');
    expect(await over).toBeUndefined();
  });

  test.each(['near', 'far'] as const)('breaks both when the %s one breaks', async (which) => {
    const [a, b] = [await pair('tcp'), await pair(kind)];
    const over = splice(a.near, b.near, { idleTimeout: 0 });
    const broken = which === 'near' ? b.far : a.far;
    const other = which === 'near' ? a.far : b.far;
    if (kind === 'tcp' || which === 'far') broken.resetAndDestroy();
    else b.near.destroy(Object.assign(new Error('broken'), { code: 'EIO' }));
    other.resume();
    expect(await over).toBe(kind === 'unix' && which === 'near' ? 'EIO' : 'ECONNRESET');
    await soon(() => expect(other.readableEnded || other.destroyed).toBe(true));
  });

  test('ends both when idle', async () => {
    const [a, b] = [await pair('tcp'), await pair(kind)];
    expect(await splice(a.near, b.near, { idleTimeout: 20 })).toBe('idle_timeout');
    expect([a.near.destroyed, b.near.destroyed]).toEqual([true, true]);
  });

  test('ends a client that does not take what is left of a closed upstream', async () => {
    const [a, b] = [await pair('tcp'), await pair(kind)];
    // The kernel's buffers are full, the proxy's own are not: the upstream can come to its end.
    while (a.near.writableLength === 0) a.near.write(Buffer.alloc(1024));
    const over = splice(a.near, b.near, { idleTimeout: 50 });
    a.far.end();
    b.far.end('rest');
    b.far.resume();
    await soon(() => expect(b.near.closed).toBe(true));
    expect(a.near.closed).toBe(false);
    expect(await over).toBe('idle_timeout');
  });

  test.each(['closed', 'destroyed'] as const)('ends the other if one is %s', async (state) => {
    for (const which of ['a', 'b'] as const) {
      const sockets = { a: (await pair('tcp')).near, b: (await pair(kind)).near };
      sockets[which].destroy();
      if (state === 'closed') await soon(() => expect(sockets[which].closed).toBe(true));
      expect(await splice(sockets.a, sockets.b, { idleTimeout: 0 })).toBe('ECONNRESET');
      expect([sockets.a.closed, sockets.b.closed]).toEqual([true, true]);
    }
  });
});

describe('reset', () => {
  test.each<[state: string, prepare: (socket: Socket) => unknown, seen: string]>([
    ['idle', () => undefined, 'ECONNRESET'],
    ['ending', (socket) => socket.end(), 'end'],
    ['reset before', (socket) => socket.resetAndDestroy(), 'ECONNRESET'],
  ])('closes a socket that is %s', async (_, prepare, seen) => {
    const { near, far } = await pair('tcp');
    const how = new Promise((resolve) => {
      far.once('end', () => resolve('end'));
      far.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    far.resume();
    prepare(near);
    reset(near);
    await soon(() => expect(near.closed).toBe(true));
    expect(await how).toBe(seen);
  });

  test('tells the other end that something is missing when not all could be written', async () => {
    const { near, far } = await pair('tcp');
    near.end(Buffer.alloc(32 * 1024 * 1024));
    reset(near);
    await soon(() => expect(near.closed).toBe(true));
    const code = new Promise((resolve) => {
      far.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      far.once('end', () => resolve('end'));
    });
    far.resume();
    expect(await code).toBe('ECONNRESET');
  });
});

describe('dial', () => {
  test.each([
    [[], []],
    [['1'], ['1']],
    [
      ['1', '2', '::1', '::2', '::3'],
      ['1', '::1', '2', '::2', '::3'],
    ],
    [
      ['::1', '1', '2'],
      ['::1', '1', '2'],
    ],
  ])('of %j tries %j in turn', (addresses, order) => {
    expect(alternateFamilies(addresses)).toEqual(order);
  });

  test('ends with its signal, also one that was aborted before', async () => {
    const { controller, clear } = deadline(60_000);
    clear();
    controller.abort(new DialError('ECANCELED'));
    await expect(dial(['127.0.0.1'], 1, controller.signal)).rejects.toMatchObject({
      code: 'ECANCELED',
    });
  });

  test('of nothing, or of a unix socket that is not there, is an error', async () => {
    const { signal } = new AbortController();
    await expect(dial([], 1, signal)).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
    await expect(dialUnix('/nowhere.sock', signal)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
