import type { Socket } from 'node:net';

/** As much as a socket holds back by itself. */
const MAX_EARLY_BYTES = 65_536;

/**
 * Reads what a client sends while it has to wait, and keeps it: who does not read from a connection
 * does not see its other end go away.
 */
export class EarlyBytes {
  readonly #socket: Socket;
  /** In one piece: pieces of a byte would take many times their bytes. */
  #kept: Buffer;
  #size = 0;
  readonly #gone = new AbortController();
  readonly #onTooMuch: () => void;
  readonly #keep = (chunk: Buffer) => {
    const size = this.#size + chunk.length;
    if (size > this.#kept.length) {
      const larger = Buffer.allocUnsafe(2 * size);
      this.#kept.copy(larger, 0, 0, this.#size);
      this.#kept = larger;
    }
    chunk.copy(this.#kept, this.#size);
    this.#size = size;
    if (size > MAX_EARLY_BYTES) this.#onTooMuch();
  };
  readonly #leave = () => this.#gone.abort();

  /**
   * @param head what has been read from the socket already.
   * @param onTooMuch called when more has come than is kept.
   */
  constructor(socket: Socket, head: Buffer, onTooMuch: () => void) {
    this.#socket = socket;
    this.#onTooMuch = onTooMuch;
    this.#kept = head;
    this.#size = head.length;
    if (socket.destroyed || socket.readableEnded) this.#leave();
    socket.once('end', this.#leave).once('close', this.#leave);
    socket.on('data', this.#keep).resume();
    if (head.length > MAX_EARLY_BYTES) onTooMuch();
  }

  /** Aborted once the client has gone, be it by half (FIN). */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Stops reading; the client's going away is not seen here any more. @returns what has come. */
  take(): Buffer {
    this.#socket.removeListener('data', this.#keep).pause();
    this.#socket.removeListener('end', this.#leave).removeListener('close', this.#leave);
    return this.#kept.subarray(0, this.#size);
  }
}
