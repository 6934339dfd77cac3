import type { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { HEADER_BYTES, MAX_QUERY_BYTES } from './query.ts';

/** How long the next query may take to come, and its answer to be taken. */
const IDLE_MS = 5_000;

/**
 * Serves a connection until it ends, and never rejects: queries with their length before them,
 * answered in the order in which they came (RFC 7766, sections 6.2.1.1 and 8). Nothing more is looked
 * up while an answer waits to be taken.
 */
export async function serveStream(
  socket: Duplex,
  respond: (message: Buffer) => Promise<Buffer | null>,
): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), IDLE_MS);
  try {
    for await (const message of readMessages(socket)) {
      // One a turn of the event loop: what comes together would else be answered all at once, while
      // everything else stands still.
      await turn();
      const answer = await respond(message);
      if (answer === null) continue;
      await write(socket, answer);
      // Only now: who sends a byte now and then, or does not take what it asked for, is idle too.
      timer.refresh();
    }
  } catch {
    // The connection broke, and with it all that there was to do.
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** Takes a stream apart; a length that no query has ends it. */
async function* readMessages(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let received = Buffer.alloc(0);
  for await (const bytes of stream) {
    received = Buffer.concat([received, bytes]);
    while (received.length >= 2) {
      const length = received.readUInt16BE(0);
      if (length < HEADER_BYTES || length > MAX_QUERY_BYTES) return;
      if (received.length < 2 + length) break;
      yield received.subarray(2, 2 + length);
      received = received.subarray(2 + length);
    }
  }
}

function write(socket: Duplex, answer: Buffer): Promise<void> {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(answer.length);
  return new Promise((resolve, reject) => {
    // In one piece, since some programs read the length and the message together.
    socket.write(Buffer.concat([length, answer]), (error) => (error ? reject(error) : resolve()));
  });
}
