import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const LINGER_MS = 2_000;

/**
 * Writes the last answer of a connection and closes it. What the peer still sends is read and thrown
 * away for a moment: closing on unread bytes would reset the connection and take the answer along.
 */
export function endWith(socket: Socket, answer: string | Buffer): void {
  socket.end(answer);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
}

/** Throws away the rest of a request that was answered before its end, but not for ever. */
export function discardBody(request: IncomingMessage): void {
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS).unref();
  request.once('close', () => clearTimeout(timer));
  request.resume();
}
