import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { soon } from './proxy.ts';
import { cleanUp } from './proxy-cleanup.ts';

/** A server on loopback that runs until the test ends. */
export interface Origin {
  port: number;
  /** Every connection that it got, closed ones included. */
  sockets: Socket[];
  /** What each of them has sent, one character for each byte; filled by `startTarget` alone. */
  received: string[];
}

/** A TCP server that keeps what it is sent. Its sockets may be half open. */
export function startTarget(
  onConnection: (socket: Socket, index: number) => void = () => undefined,
  host = '127.0.0.1',
  port = 0,
): Promise<Origin> {
  const received: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const index = received.push('') - 1;
    socket.on('data', (bytes: Buffer) => {
      received[index] += bytes.toString('latin1');
    });
    onConnection(socket, index);
  });
  return start(server, host, received, port);
}

/** A target that answers whatever request it gets with the same bytes, and does no more. */
export function startAnswering(answer: string, then: 'end' | 'wait' = 'wait'): Promise<Origin> {
  return startTarget((socket) => {
    let seen = '';
    socket.on('data', (bytes: Buffer) => {
      if (seen.includes('\r\n\r\n')) return;
      seen += bytes.toString('latin1');
      if (!seen.includes('\r\n\r\n')) return;
      socket.write(answer, 'latin1');
      if (then === 'end') socket.end();
    });
  });
}

/** A TCP server that does not read by itself. */
export function startServer(
  onConnection: (socket: Socket) => void,
  host = '127.0.0.1',
): Promise<Origin> {
  return start(createServer({ allowHalfOpen: true }, onConnection), host, []);
}

export function startHttp(listener: RequestListener): Promise<Origin> {
  return start(createHttpServer(listener), '127.0.0.1', []);
}

/** Waits until a server got its connection with that index. */
export function connectionOf(origin: Origin, index = 0): Promise<Socket> {
  return soon(() => {
    const socket = origin.sockets[index];
    if (!socket) throw new Error('no connection has come');
    return socket;
  });
}

/** Lets a server listen on loopback until the test ends. */
export async function start(
  server: Server,
  host: string,
  received: string[],
  port = 0,
): Promise<Origin> {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  cleanUp(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, sockets, received };
}
