import { once } from 'node:events';
import { expect, test } from 'vitest';
import { MAX_HELLO_BYTES } from '../src/tls/client-hello.ts';
import { readHello } from '../src/tls/read-hello.ts';
import { extension, hello, helloMessage, records, serverName } from './helpers/client-hello.ts';
import { connection, listeners, rest, text, untilBuffered } from './helpers/hello-connection.ts';
import { soon } from './helpers/proxy.ts';
import type { RawClient } from './helpers/raw-client.ts';

const NONE = Buffer.alloc(0);
const LONG = 10_000;
const HELLO = hello({ extensions: [serverName('example.test')] });
const EXAMPLE = { serverNames: ['example.test'], ech: false };

test.each([
  ['GET / HTTP/1.1\r\n\r\n', 'not_tls'],
  ['\x16\x03\x01\0\0', 'malformed_hello'],
  ['\x16\x03\x01\x40\0\x01\xff\xff\xff', 'hello_too_long'],
])('%j is a fault at once', async (sent, fault) => {
  const { socket, client } = await connection();
  client.send(sent);
  const read = await readHello(socket, NONE, LONG);
  expect({ ...read, bytes: text(read) }).toEqual({ bytes: sent, fault });
  socket.end('answer');
  await client.until('answer');
});

test('one wrong byte is enough', async () => {
  const { socket, client } = await connection();
  client.send('G');
  expect(await readHello(socket, NONE, LONG)).toMatchObject({ fault: 'not_tls' });
});

test('the wrong byte came before', async () => {
  const { socket } = await connection();
  expect(await readHello(socket, Buffer.from('SSH'), LONG)).toMatchObject({ fault: 'not_tls' });
});

test('a stream that never becomes a hello is not gathered for ever', async () => {
  const { socket, client } = await connection();
  // Each record has a byte of a message that would fit without the heads of its records.
  const bytes = records(helloMessage({ extensions: [extension(21, Buffer.alloc(30_000))] }), 1);
  client.socket.write(bytes);
  const read = await readHello(socket, NONE, LONG);
  expect(read).toMatchObject({ fault: 'hello_too_long' });
  expect(read.bytes.length).toBeLessThan(MAX_HELLO_BYTES + 2 * 65_536);
  expect(bytes.subarray(0, read.bytes.length).equals(read.bytes)).toBe(true);
});

test.each<[string, (client: RawClient) => void]>([
  ['ends its half', (client) => client.socket.end()],
  ['resets', (client) => client.socket.resetAndDestroy()],
])('the client %s in the middle of its hello', async (_, leave) => {
  const { socket, client } = await connection();
  const before = listeners(socket);
  const reading = readHello(socket, NONE, LONG);
  client.socket.write(HELLO.subarray(0, 50));
  await soon(() => expect(socket.bytesRead).toBe(50));
  leave(client);
  expect(await reading).toEqual({ bytes: HELLO.subarray(0, 50), fault: 'hello_cut_off' });
  expect(listeners(socket)).toEqual(before);
});

test('half a hello and the end, both there before it is read', async () => {
  const { socket, client } = await connection();
  client.socket.end(HELLO.subarray(0, 50));
  await untilBuffered(socket, 50);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const cut = { bytes: HELLO.subarray(0, 50), fault: 'hello_cut_off' };
  expect(await readHello(socket, NONE, LONG)).toEqual(cut);
});

test('the client ends its half and can still be answered', async () => {
  const { socket, client } = await connection();
  client.socket.end();
  expect(await readHello(socket, NONE, LONG)).toEqual({ bytes: NONE, fault: 'hello_cut_off' });
  socket.end('answer');
  await client.until('answer');
});

test('a socket that has ended, or is gone, when it comes', async () => {
  const { socket, client } = await connection();
  client.socket.end();
  socket.resume();
  await once(socket, 'end');
  const cut = { bytes: NONE, fault: 'hello_cut_off' };
  expect(await readHello(socket, NONE, LONG)).toEqual(cut);
  socket.destroy();
  await once(socket, 'close');
  expect(await readHello(socket, NONE, LONG)).toEqual(cut);
  expect(await readHello(socket, HELLO, LONG)).toEqual({ bytes: HELLO, hello: EXAMPLE });
});

test('a hello that does not come in time', async () => {
  const { socket, client } = await connection();
  const before = listeners(socket);
  client.socket.write(HELLO.subarray(0, 50));
  await untilBuffered(socket, 50);
  const read = await readHello(socket, NONE, 20);
  expect(read).toEqual({ bytes: HELLO.subarray(0, 50), fault: 'hello_timeout' });
  expect(listeners(socket)).toEqual(before);
  client.send('after').socket.end();
  expect(await rest(socket)).toBe('after');
});
