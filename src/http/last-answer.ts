import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { reset } from '../net/reset.ts';

const LINGER_MS = 2_000;
/** Bytes of somebody who may use the listener, such as the rest of an upload. */
const MAX_DISCARDED = 64 * 1024 * 1024;
/** Bytes of a stranger: a request, not an upload. */
export const MAX_OF_STRANGER = 64 * 1024;

/**
 * Writes the last answer of a connection and closes it. What the peer still sends is read and thrown
 * away for a moment, but no more parsed: closing on unread bytes would reset the connection and take
 * the answer along.
 * @param maxDiscarded bytes that the peer may still send.
 */
export function endWith(
  socket: Socket,
  answer: string | Buffer,
  maxDiscarded = MAX_DISCARDED,
): void {
  socket.end(answer);
  stopParsing(socket, maxDiscarded);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
}

/**
 * Ends an answer that cannot be completed, so that nobody takes it for the whole: the end of the
 * connection would be the proper end of one that has neither a length nor chunks (RFC 9112, section 8).
 * One that queues behind others has no connection yet, and ends it when theirs are complete. (On Node
 * 24, `response.destroy` would then leave the connection open.)
 */
export function breakOff(response: ServerResponse): void {
  if (response.socket !== null) reset(response.socket);
  else response.once('socket', (socket: Socket) => socket.destroy());
}

/**
 * Takes a connection away from Node's parser, for which a body in chunks of a byte is far more work
 * than reading its bytes. A listener of ours makes Node hand them over; its own is removed.
 */
function stopParsing(socket: Socket, most: number): void {
  const parsing = socket.listeners('data') as ((bytes: Buffer) => void)[];
  let left = most;
  socket.on('data', (bytes: Buffer) => {
    left -= bytes.length;
    if (left < 0) socket.destroy();
  });
  for (const listener of parsing) socket.removeListener('data', listener);
  // Behind the stream's back the parser may have stopped the reading, since nobody took the body.
  socket._read(0);
}

/** Throws away the rest of a request that was answered before its end, but not for ever. */
export function discardBody(request: IncomingMessage): void {
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS).unref();
  request.once('close', () => clearTimeout(timer));
  request.resume();
}
