import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { MAX_HELLO_BYTES } from '../src/tls/client-hello.ts';
import { readHello } from '../src/tls/read-hello.ts';
import { extension, hello, helloMessage, records, serverName } from './helpers/client-hello.ts';
import { connection, listeners, rest, text, untilBuffered } from './helpers/hello-connection.ts';
import { start } from './helpers/origin.ts';
import { soon } from './helpers/proxy.ts';
import { cleanUp } from './helpers/proxy-cleanup.ts';
import { RawClient } from './helpers/raw-client.ts';

const NONE = Buffer.alloc(0);
const LONG = 10_000;
const HELLO = hello({ extensions: [serverName('example.test')] });
const EXAMPLE = { serverNames: ['example.test'], ech: false };

test('a hello in one piece', async () => {
  const { socket, client } = await connection();
  client.socket.write(HELLO);
  expect(await readHello(socket, NONE, LONG)).toEqual({ bytes: HELLO, hello: EXAMPLE });
});

test('a hello that comes byte by byte, in records of one byte', async () => {
  const { socket, client } = await connection();
  client.socket.setNoDelay();
  const bytes = records(helloMessage({ extensions: [serverName('example.test')] }), 1);
  const reading = readHello(socket, NONE, LONG);
  for (const byte of bytes) {
    await new Promise((resolve) => client.socket.write(Buffer.from([byte]), resolve));
    await new Promise(setImmediate);
  }
  expect(await reading).toEqual({ bytes, hello: EXAMPLE });
  client.send('after').socket.end();
  expect(await rest(socket)).toBe('after');
});

test('a hello in pieces with pauses between them', async () => {
  const { socket, client } = await connection();
  const reading = readHello(socket, NONE, LONG);
  for (const [from, to] of [
    [0, 1],
    [1, 8],
    [8, 40],
    [40, HELLO.length],
  ]) {
    client.socket.write(HELLO.subarray(from, to));
    await soon(() => expect(socket.bytesRead).toBe(to));
  }
  expect(await reading).toEqual({ bytes: HELLO, hello: EXAMPLE });
});

test('a hello that is as long as it may be', async () => {
  const { socket, client } = await connection();
  const empty = helloMessage({ extensions: [extension(21, NONE)] }).length;
  const padding = extension(21, Buffer.alloc(MAX_HELLO_BYTES - 10 - empty));
  const bytes = records(helloMessage({ extensions: [padding] }), 16_384);
  client.socket.write(bytes);
  const read = await readHello(socket, NONE, LONG);
  expect(read).toMatchObject({ hello: { serverNames: [] } });
  expect(read.bytes).toEqual(bytes);
});

test.each([0, 1, 5, 50, HELLO.length - 1, HELLO.length])(
  'with %i bytes of it that came before',
  async (length) => {
    const { socket, client } = await connection();
    const early = HELLO.subarray(0, length);
    client.socket.write(Buffer.concat([HELLO.subarray(length), Buffer.from('after')]));
    client.socket.end();
    const read = await readHello(socket, early, LONG);
    expect(read).toMatchObject({ hello: EXAMPLE });
    expect(text(read) + (await rest(socket))).toBe(`${HELLO.toString('latin1')}after`);
  },
);

test('what came before is not written to', async () => {
  const { socket, client } = await connection();
  const memory = Buffer.alloc(HELLO.length, 0xee);
  HELLO.copy(memory, 0, 0, 20);
  client.socket.write(HELLO.subarray(20));
  expect(await readHello(socket, memory.subarray(0, 20), LONG)).toMatchObject({ hello: EXAMPLE });
  expect(memory.subarray(20)).toEqual(Buffer.alloc(HELLO.length - 20, 0xee));
});

test('all of it, and more, came before: nothing is read', async () => {
  const { socket, client } = await connection();
  client.send('later');
  await untilBuffered(socket, 5);
  const early = Buffer.concat([HELLO, Buffer.from('more')]);
  expect(await readHello(socket, early, LONG)).toEqual({ bytes: early, hello: EXAMPLE });
  expect(socket.readableLength).toBe(5);
});

test('what is behind the hello comes whole and in order, however much it is', async () => {
  const { socket, client } = await connection();
  const after = Buffer.alloc(1_000_000, 'what is behind ').toString('latin1');
  client.socket.write(Buffer.concat([HELLO, Buffer.from(after)]));
  client.socket.end();
  const mark = socket.readableHighWaterMark;
  socket.read(0);
  await soon(() => expect(socket.readableLength).toBeGreaterThanOrEqual(mark));
  const read = await readHello(socket, NONE, LONG);
  expect(socket.readableHighWaterMark).toBe(mark);
  // A moment in which nobody reads.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const all = text(read) + (await rest(socket));
  expect(all === HELLO.toString('latin1') + after).toBe(true);
});

test('whoever reads next by "data" gets what is behind, and the end', async () => {
  const { socket, client } = await connection();
  client.socket.write(HELLO);
  await readHello(socket, NONE, LONG);
  let seen = '';
  socket.on('data', (chunk: Buffer) => {
    seen += chunk.toString('latin1');
  });
  client.send('after').socket.end();
  await once(socket, 'end');
  expect(seen).toBe('after');
});

test.each(['data', 'pipe'])('the end that came with the hello is left for %s', async (how) => {
  const { socket, client } = await connection();
  client.socket.end(HELLO);
  await soon(() => expect(socket.bytesRead).toBe(HELLO.length));
  const reading = readHello(socket, NONE, LONG);
  expect(await reading).toEqual({ bytes: HELLO, hello: EXAMPLE });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(socket.readableEnded).toBe(false);
  if (how === 'data') {
    socket.resume();
    await once(socket, 'end');
  } else {
    expect(await rest(socket)).toBe('');
  }
  expect(socket.writable).toBe(true);
});

test('a socket that was paused', async () => {
  const { socket, client } = await connection();
  socket.pause();
  client.socket.write(HELLO);
  expect(await readHello(socket, NONE, LONG)).toEqual({ bytes: HELLO, hello: EXAMPLE });
  const seen: string[] = [];
  socket.on('data', (chunk: Buffer) => seen.push(chunk.toString('latin1')));
  client.send('after');
  await soon(() => expect(seen.join('')).toBe('after'));
});

test('the socket of a CONNECT, which an HTTP parser has read before', async () => {
  const server = createHttpServer();
  const origin = await start(server, '127.0.0.1', []);
  const client = await RawClient.connect(origin.port);
  const connect = Buffer.from(
    'CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n',
  );
  client.socket.write(Buffer.concat([connect, HELLO.subarray(0, 30)]));
  const [, socket, head] = (await once(server, 'connect')) as [unknown, Socket, Buffer];
  expect(head).toEqual(HELLO.subarray(0, 30));
  const before = listeners(socket);
  const reading = readHello(socket, head, LONG);
  client.socket.write(HELLO.subarray(30));
  expect(await reading).toEqual({ bytes: HELLO, hello: EXAMPLE });
  expect(listeners(socket)).toEqual(before);
  client.send('after').socket.end();
  expect(await rest(socket)).toBe('after');
});

test('the timer stops with the reading', async () => {
  const { socket, client } = await connection();
  const [set, clear] = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'clearTimeout')];
  cleanUp(() => vi.restoreAllMocks());
  client.socket.write(HELLO);
  await readHello(socket, NONE, 3_600_000);
  const timer = set.mock.calls.findIndex(([, timeout]) => timeout === 3_600_000);
  expect(clear).toHaveBeenCalledWith(set.mock.results[timer]?.value);
});

test('nothing stays behind on the socket', async () => {
  const { socket, client } = await connection();
  const before = listeners(socket);
  client.socket.write(HELLO);
  await readHello(socket, NONE, LONG);
  expect(listeners(socket)).toEqual(before);
});

test('after the hello, while nobody reads, a client that goes away is noticed', async () => {
  const { socket, client } = await connection();
  client.socket.write(HELLO);
  await readHello(socket, NONE, LONG);
  client.socket.resetAndDestroy();
  await soon(() => expect(socket.closed).toBe(true));
});

test('no faster than it is judged: behind the hello, the client is held back', async () => {
  const { socket, client } = await connection();
  client.socket.write(Buffer.concat([HELLO, Buffer.alloc(50_000_000)]));
  const read = await readHello(socket, NONE, LONG);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(read.bytes.length + socket.readableLength).toBeLessThan(1_000_000);
  socket.pipe(new PassThrough()).resume();
  await soon(() => expect(socket.bytesRead).toBe(HELLO.length + 50_000_000));
});
