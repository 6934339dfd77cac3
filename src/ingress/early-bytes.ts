import type { Socket } from 'node:net';

/** As much as a socket holds back by itself. */
const MAX_EARLY_BYTES = 65_536;

/**
 * Reads what a client sends while it has to wait, and keeps it: who does not read from a connection
 * does not see its other end go away.
 */
export class EarlyBytes {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  readonly #gone = new AbortController();
  readonly #keep: (chunk: Buffer) => void;
  readonly #leave = () => this.#gone.abort();

  /**
   * @param head what has been read from the socket already.
   * @param onTooMuch called when more has come than is kept.
   */
  constructor(socket: Socket, head: Buffer, onTooMuch: () => void) {
    this.#socket = socket;
    let size = 0;
    this.#keep = (chunk) => {
      this.#chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_EARLY_BYTES) onTooMuch();
    };
    if (socket.destroyed || socket.readableEnded) this.#leave();
    socket.once('end', this.#leave).once('close', this.#leave);
    this.#keep(head);
    socket.on('data', this.#keep).resume();
  }

  /** Aborted once the client has gone, be it by half (FIN). */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Stops reading; the client's going away is not seen here any more. @returns what has come. */
  take(): Buffer {
    this.#socket.removeListener('data', this.#keep).pause();
    this.#socket.removeListener('end', this.#leave).removeListener('close', this.#leave);
    return Buffer.concat(this.#chunks.splice(0));
  }
}
