import type { Socket } from 'node:net';
import { type ClientHello, type HelloFault, parseClientHello } from './client-hello.ts';

/** `bytes` is everything that was taken from the socket, to be passed on byte for byte. */
export type HelloRead =
  | { bytes: Buffer; hello: ClientHello }
  | { bytes: Buffer; fault: HelloFault | 'hello_timeout' | 'hello_cut_off' };

/**
 * Reads from a socket up to the end of a ClientHello, or to where it is clear that there will be none.
 * What lies in the socket's buffer behind it may come along; the rest stays for whoever reads next,
 * the end of the stream included. The client may be gone by the time this resolves. It never rejects,
 * but the socket needs an `error` listener of its own.
 * @param early what came on this connection before.
 * @param timeout milliseconds for the whole of it.
 */
export function readHello(socket: Socket, early: Buffer, timeout: number): Promise<HelloRead> {
  const gathered = new Gathered(early);
  return new Promise((resolve) => {
    const finish = (read: HelloRead) => {
      clearTimeout(timer);
      socket.off('readable', take).off('end', cutOff).off('close', cutOff);
      resolve(read);
    };
    const fail = (fault: 'hello_timeout' | 'hello_cut_off') => () =>
      finish({ bytes: gathered.bytes, fault });
    const cutOff = fail('hello_cut_off');
    const take = () => {
      // With a size, since a read without one that takes the last bytes uses up the end as well; and
      // not with one above the high-water mark, since that would raise it for good.
      while (socket.readableLength > 0) {
        gathered.add(socket.read(Math.min(socket.readableLength, socket.readableHighWaterMark)));
        const read = gathered.judge();
        if (read) return finish(read);
      }
      // Asks for more; at the end of the stream, for its 'end'.
      socket.read(0);
    };
    const timer = setTimeout(fail('hello_timeout'), timeout);
    const read = gathered.judge();
    if (read) finish(read);
    else if (socket.destroyed || socket.readableEnded) cutOff();
    // Not 'data' and pause(): a paused socket would not notice that the client goes away.
    else socket.on('readable', take).on('end', cutOff).on('close', cutOff);
  });
}

/** What has come so far, in one piece: kept one by one, tiny segments would take a hundred times as much. */
class Gathered {
  #buffer: Buffer;
  #length: number;
  #needed = 0;

  constructor(early: Buffer) {
    this.#buffer = early;
    this.#length = early.length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  add(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const larger = Buffer.alloc(length * 2);
      this.bytes.copy(larger);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  /** Looks at it if there is enough to look at. @returns undefined if more is needed. */
  judge(): HelloRead | undefined {
    if (this.#length < this.#needed) return undefined;
    const { bytes } = this;
    const result = parseClientHello(bytes);
    switch (result.kind) {
      case 'hello':
        return { bytes, hello: result.hello };
      case 'fault':
        return { bytes, fault: result.fault };
      case 'incomplete':
        this.#needed = result.needed;
        return undefined;
    }
  }
}
