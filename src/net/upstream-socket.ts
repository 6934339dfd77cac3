import { type NetConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';

type Done = (error?: Error | null) => void;

/**
 * A connection to a server on which a client learns what the server did say, and whether it ended it.
 * Node's own socket loses both in two cases:
 *
 * - A server may answer before it has read the request, and close (RFC 9112, section 9.6). The next
 *   write fails, and Node throws away what has arrived. Here a failed write waits until all of that
 *   is read.
 * - A reset that arrives together with the last bytes is reported as an orderly end (Node 20; not
 *   Node 24), so an answer without a length would pass for whole. Here an end is tried with a write
 *   of no bytes, which fails after a reset and does nothing otherwise.
 */
export class UpstreamSocket extends Socket {
  readonly #canBeReset: boolean;
  #writeError: Error | undefined;

  /** @param where the options of `net.connect`; it is not connected yet. */
  constructor(where: NetConnectOpts & SocketConstructorOpts) {
    super(where);
    // A unix socket has no reset, and does not take a byte once its other end has closed.
    this.#canBeReset = !('path' in where);
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, this.#afterReading(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    super._writev?.(chunks, this.#afterReading(done));
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk !== null) return super.push(chunk, encoding);
    if (this.#canBeReset && this.writable && this.writableLength === 0) this.write(Buffer.alloc(0));
    // The result of a write is known after this turn of the event loop.
    setImmediate(() => {
      if (this.#writeError) this.destroy(this.#writeError);
      else if (!this.destroyed) super.push(null);
    });
    return false;
  }

  #afterReading(done: Done): Done {
    return (error) => {
      if (!error || this.readableEnded) done(error);
      // A connection that cannot be written to any more ends for its reader too.
      else this.#writeError = error;
    };
  }
}
