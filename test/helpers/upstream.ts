import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A server in whisper's place. */
export interface Upstream<Kind> {
  server: Kind;
  /** The value of UPSTREAM. */
  address: string;
  port: number;
}

/**
 * Starts an HTTP server in whisper's place, until the test has finished.
 * @param where a port, or the path of a unix socket; by default a free port.
 */
export async function startUpstream(
  listener: RequestListener,
  where: number | string = 0,
): Promise<Upstream<Server>> {
  // Requests of whatever size and kind: what it refuses the proxy would seem to refuse.
  const server = createServer({ maxHeaderSize: 65_536, requireHostHeader: false }, listener);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  if (typeof where === 'string') server.listen(where);
  else server.listen(where, '127.0.0.1');
  await once(server, 'listening');
  if (typeof where === 'string') return { server, address: `unix:${where}`, port: 0 };
  const { port } = server.address() as AddressInfo;
  return { server, address: `http://127.0.0.1:${port}`, port };
}

/**
 * Starts a server in whisper's place that writes its own bytes, until the test has finished.
 * @param listener is called with each request's head, which ends with an empty line, and the bytes
 * that have come after it.
 */
export async function startRawUpstream(
  listener: (socket: Socket, head: string, rest: Buffer) => void,
): Promise<Upstream<ReturnType<typeof createNetServer>>> {
  const sockets = new Set<Socket>();
  const server = createNetServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    let received = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf('\r\n\r\n');
      if (end === -1) return;
      socket.removeListener('data', onData);
      listener(socket, received.toString('latin1', 0, end + 4), received.subarray(end + 4));
    };
    socket.on('data', onData);
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, address: `http://127.0.0.1:${port}`, port };
}

/** A server that answers each request with the same bytes and closes. */
export function startCanned(answer: string): Promise<Upstream<ReturnType<typeof createNetServer>>> {
  return startRawUpstream((socket) => void socket.end(answer, 'latin1'));
}

/** Reads a request to its end. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
