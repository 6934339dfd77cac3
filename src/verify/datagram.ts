import { createSocket, type Socket } from 'node:dgram';

/** What a datagram is sent for: one of these is the end of it. */
export interface Exchange<Result> {
  limitMs: number;
  /** What it is if nothing comes. */
  silence: Result;
  /** Sends it. What it gives to `fail` is the end, as an error of the socket is. */
  send(socket: Socket, fail: (error: Error) => void): void;
  failed(error: NodeJS.ErrnoException): Result;
  /** Without it, what comes is not looked at. */
  answered?(message: Buffer): Result;
}

/** Sends one datagram by IPv4, and waits for what comes first: an answer, an error, the end of its time. */
export function exchangeDatagram<Result>(exchange: Exchange<Result>): Promise<Result> {
  const { limitMs, silence, send, failed, answered } = exchange;
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    // At once, a process that was held up would overlook what has come in the meantime.
    const timer = setTimeout(() => setImmediate(settle, silence), limitMs);
    let isSettled = false;
    const settle = (result: Result) => {
      // The time may be up at the very moment that something comes, and a socket closes once only.
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      socket.removeAllListeners().on('error', () => undefined);
      socket.close();
      resolve(result);
    };
    const fail = (error: Error) => settle(failed(error));
    socket.on('error', fail);
    if (answered) socket.on('message', (message) => settle(answered(message)));
    send(socket, fail);
  });
}
