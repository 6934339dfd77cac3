import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { expect } from 'vitest';
import type { HelloRead } from '../../src/tls/read-hello.ts';
import { connectionOf, startServer } from './origin.ts';
import { soon } from './proxy.ts';
import { RawClient } from './raw-client.ts';

/** A server's side of a connection, and the client's. */
export async function connection(): Promise<{ socket: Socket; client: RawClient }> {
  const origin = await startServer(() => undefined);
  const client = await RawClient.connect(origin.port);
  return { client, socket: await connectionOf(origin) };
}

/** What was read, one character for each byte. */
export function text(read: HelloRead): string {
  return read.bytes.toString('latin1');
}

/** Waits until that many bytes lie in a socket's buffer. */
export async function untilBuffered(socket: Socket, length: number): Promise<void> {
  socket.read(0);
  await soon(() => expect(socket.readableLength).toBe(length));
}

/** Everything that comes from now on, by pipe(), until the end. */
export async function rest(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write(chunk, _, done) {
      chunks.push(chunk);
      done();
    },
  });
  socket.pipe(sink);
  await once(sink, 'finish');
  return Buffer.concat(chunks).toString('latin1');
}

const EVENTS = ['readable', 'data', 'end', 'close', 'error', 'timeout', 'pause', 'resume'];

/** How many listeners a socket has, by event. */
export function listeners(socket: Socket): Record<string, number> {
  return Object.fromEntries(EVENTS.map((event) => [event, socket.listenerCount(event)]));
}
