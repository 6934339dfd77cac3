import type { Socket } from 'node:net';

/**
 * Joins two sockets: bytes go both ways with back pressure, either side may close its half, and a
 * side that breaks resets the other, so that a cut-off stream is not taken for a whole one.
 * @param idleTimeout milliseconds without a byte either way after which both are ended; 0: none.
 * @returns once both are closed: the code of what broke, `idle_timeout`, or undefined.
 */
export function splice(
  client: Socket,
  upstream: Socket,
  idleTimeout: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let broken: string | undefined;
    let open = 2;
    const breakOff = (code: string) => {
      broken ??= code;
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    };
    for (const socket of [client, upstream]) {
      socket.on('error', (error: NodeJS.ErrnoException) => breakOff(error.code ?? 'UNKNOWN'));
      socket.once('close', () => {
        open -= 1;
        if (open === 0) resolve(broken);
        else if (!socket.readableEnded || !socket.writableFinished) breakOff('ECONNRESET');
      });
      if (socket.destroyed) open -= 1;
    }
    if (open < 2) {
      breakOff('ECONNRESET');
      if (open === 0) resolve(broken);
      return;
    }
    // What goes through either socket passes the upstream one, so its timer sees it all.
    upstream.setTimeout(idleTimeout, () => breakOff('idle_timeout'));
    client.pipe(upstream);
    upstream.pipe(client);
  });
}
