import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { connectionOf, startServer, startTarget } from './helpers/origin.ts';
import { soon, startProxy, startProxyTo } from './helpers/proxy.ts';
import { ask, connectTo, openTunnel, RawClient } from './helpers/raw-client.ts';

const MIB = 1024 * 1024;

describe('early bytes, sent together with CONNECT', () => {
  test('reach the target after the allow, in order with what follows', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(`${connectTo(`origin.test:${target.port}`)}early `);
    expect((await client.answer()).status).toBe(200);
    client.send('late');
    await soon(() => expect(target.received).toEqual(['early late']));
  });

  test('wait for a slow look-up', async () => {
    const target = await startTarget();
    let found: (addresses: string[]) => void = () => undefined;
    const lookup = new Promise<string[]>((resolve) => {
      found = resolve;
    });
    const proxy = await startProxyTo(target.port, {}, { 'origin.test': () => lookup });
    const client = await RawClient.connect(proxy.port);
    client.send(`${connectTo(`origin.test:${target.port}`)}early `);
    await soon(() => expect(proxy.lookups).toEqual(['origin.test']));
    client.send('and later');
    expect(target.sockets).toHaveLength(0);
    expect(client.received).toBe('');
    found(['127.0.0.1']);
    await soon(() => expect(target.received).toEqual(['early and later']));
  });

  test('go nowhere when the target is denied', async () => {
    const target = await startTarget();
    const proxy = await startProxy({}, { 'origin.test': ['127.0.0.1'] });
    const answer = await ask(proxy.port, `${connectTo(`origin.test:${target.port}`)}secret`);
    expect(answer.status).toBe(403);
    await proxy.stop();
    expect(target.sockets).toHaveLength(0);
    expect(proxy.lookups).toEqual([]);
  });

  test('of any size do not cost a denied client its answer', async () => {
    const proxy = await startProxy();
    const client = await RawClient.connect(proxy.port);
    await client.sendAll(connectTo('evil.test:443') + 'x'.repeat(16 * MIB));
    expect((await client.answer()).status).toBe(403);
    expect(await client.untilEnded()).toBe('end');
  });

  test('are no second request after a denied one', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await RawClient.connect(proxy.port);
    client.send(connectTo('evil.test:443') + connectTo(`origin.test:${target.port}`));
    expect((await client.answer()).status).toBe(403);
    expect(await client.untilEnded()).toBe('end');
    expect(proxy.decisions()).toHaveLength(1);
    expect(target.sockets).toHaveLength(0);
  });
});

describe('half-close', () => {
  test('of the client: the target reads the end, and may still answer', async () => {
    const target = await startTarget((socket) => socket.once('end', () => socket.end('answer')));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.socket.end('question');
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toBe('answer');
    expect(target.received).toEqual(['question']);
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: 8, bytes_in: 6 }]);
  });

  test('of the target: the client reads the end, and may still send', async () => {
    const target = await startTarget((socket) => socket.end('greeting'));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    expect(await client.untilEnded()).toBe('end');
    expect(client.received).toBe('greeting');
    client.socket.end('thanks');
    const [end] = await proxy.ends(1);
    expect(end).toMatchObject({ bytes_out: 6, bytes_in: 8 });
    expect(end).not.toHaveProperty('error');
    // The proxy has handed it on; the target may not have read it yet.
    await soon(() => expect(target.received).toEqual(['thanks']));
  });
});

describe('a reset', () => {
  test('by the target reaches the client as a reset', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    (await connectionOf(target)).resetAndDestroy();
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECONNRESET' }]);
  });

  test('by the target with its last bytes does so as well', async () => {
    const target = await startServer((socket) => {
      socket.once('data', () => socket.write('hello', () => socket.resetAndDestroy()));
    });
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    client.send('hello');
    expect(await client.untilEnded()).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECONNRESET' }]);
  });

  test('by the client reaches the target as a reset', async () => {
    const target = await startTarget();
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    const far = await connectionOf(target);
    const code = new Promise((resolve) => {
      far.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    client.socket.resetAndDestroy();
    expect(await code).toBe('ECONNRESET');
    expect(await proxy.ends(1)).toMatchObject([{ error: 'ECONNRESET' }]);
  });

  test('right after the connection was accepted is no fault of the proxy', async () => {
    const target = await startServer((socket) => socket.resetAndDestroy());
    const proxy = await startProxyTo(target.port, { EGRESS_MAX_CONNECTIONS: '1' });
    for (let count = 1; count <= 20; count += 1) {
      const client = await RawClient.connect(proxy.port);
      client.send(connectTo(`origin.test:${target.port}`));
      await client.untilEnded();
    }
    await proxy.stop();
    expect(proxy.texts.join('')).not.toContain('"level":"error"');
    for (const line of proxy.decisions()) {
      if (line.decision === 'allow') expect(line.address).toBe('127.0.0.1');
    }
  });
});

describe('large streams', () => {
  test('pass both ways at once, byte for byte', async () => {
    const size = 64 * MIB;
    const chunk = Buffer.alloc(MIB, 'whisper-proxy ');
    const target = await startServer((socket) => socket.pipe(socket));
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    const { socket } = client;
    socket.removeAllListeners('data');
    const [sent, got] = [createHash('sha1'), createHash('sha1')];
    socket.on('data', (text: string) => got.update(text, 'latin1'));
    for (let left = size; left > 0; left -= MIB) {
      chunk.writeUInt32LE(left, left % 1000);
      const copy = Buffer.from(chunk);
      sent.update(copy);
      if (!socket.write(copy)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(got.digest('hex')).toBe(sent.digest('hex'));
    expect(await proxy.ends(1)).toMatchObject([{ bytes_out: size, bytes_in: size }]);
  });

  test.each(['target', 'client'] as const)('stop while the %s does not read', async (slow) => {
    const target = await startServer((socket) => socket.pause());
    const proxy = await startProxyTo(target.port);
    const client = await openTunnel(proxy.port, `origin.test:${target.port}`);
    const far = await connectionOf(target);
    const [writer, reader] = slow === 'target' ? [client.socket, far] : [far, client.socket];
    client.socket.pause();
    const chunk = Buffer.alloc(MIB);
    let written = 0;
    const fill = () => {
      while (written < 256 && writer.write(chunk)) written += 1;
    };
    writer.on('drain', fill);
    fill();
    // Until nothing moves any more: the kernel's buffers are full, and the proxy's own are small.
    let before = -1;
    let still = 0;
    await soon(() => {
      const now = writer.bytesWritten - writer.writableLength;
      still = now === before ? still + 1 : 0;
      before = now;
      if (still < 10) throw new Error('it still flows');
    });
    expect(written).toBeLessThan(64);
    let read = 0;
    reader.on('data', (bytes: Buffer | string) => {
      read += bytes.length;
    });
    reader.resume();
    await soon(() => expect(read).toBeGreaterThan(100 * MIB));
  });
});
