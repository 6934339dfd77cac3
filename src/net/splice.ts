import type { Socket } from 'node:net';
import { reset } from './reset.ts';
import type { UploadMeter } from './upload-meter.ts';

export interface SpliceOptions {
  /** Milliseconds without a byte either way after which both are ended; 0: none. */
  idleTimeout: number;
  /** What the client may still send; without one, anything. */
  meter?: UploadMeter;
}

/**
 * Joins two sockets: bytes go both ways with back pressure, either side may close its half, and a
 * side that breaks resets the other, so that a cut-off stream is not taken for a whole one.
 * @returns once both are closed: the code of what broke, `idle_timeout`, `upload_limit`, or undefined.
 */
export function splice(
  client: Socket,
  upstream: Socket,
  { idleTimeout, meter }: SpliceOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let broken: string | undefined;
    let open = 0;
    const breakOff = (code: string) => {
      broken ??= code;
      reset(client);
      reset(upstream);
    };
    const idle = () => breakOff('idle_timeout');
    for (const socket of [client, upstream]) {
      if (socket.closed) continue;
      open += 1;
      socket.on('error', (error: NodeJS.ErrnoException) => breakOff(error.code ?? 'UNKNOWN'));
      socket.once('close', () => {
        open -= 1;
        if (open === 0) resolve(broken);
        else if (!socket.readableEnded || !socket.writableFinished) breakOff('ECONNRESET');
        // Without the upstream, only the client's taking of what is left can be timed.
        else client.setTimeout(idleTimeout, idle);
      });
    }
    if (client.destroyed || upstream.destroyed) {
      breakOff('ECONNRESET');
      if (open === 0) resolve(broken);
      return;
    }
    // What goes through either socket passes the upstream one, so its timer sees it all.
    upstream.setTimeout(idleTimeout, idle);
    // Before the pipe's own listener, so that what is too much finds the upstream closed.
    if (meter) {
      client.on('data', (bytes: Buffer) => {
        if (!meter.take(bytes.length)) breakOff('upload_limit');
      });
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
}
