import type { Socket } from 'node:net';

/**
 * Ends a connection with a reset, so that the other end does not take what it got for the whole. A
 * unix socket has no such thing, and is closed.
 */
export function reset(socket: Socket): void {
  // libuv refuses to reset a socket whose shutdown is under way, and Node then never closes it. What
  // was written has been handed over by then, so an orderly end tells no lie.
  const shuttingDown =
    socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (shuttingDown) {
    socket.destroy();
    return;
  }
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy();
  }
}

/** Closes a connection at once, and waits until it is: only then its byte counts are final. */
export async function closeNow(socket: Socket): Promise<void> {
  if (socket.closed) return;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.destroy();
  await closed;
}
