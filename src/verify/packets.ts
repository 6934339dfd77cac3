import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { exchangeDatagram } from './datagram.ts';
import type { Attempt, Outcome } from './probe.ts';

/** A SYN is sent again after 1 s, and then at 3 s. */
const LIMIT_MS = 2_500;

/** What is said where nothing comes. */
const NO_ANSWER = 'no answer';
/** What is said of a connection that was opened. */
export const CONNECTED = 'connected';

/** The port that throws away what it gets (RFC 863), where there is such a thing. */
export const DISCARD = 9;

const SILENCE: Outcome = { state: 'closed', detail: NO_ANSWER };

/** Errors that say that nothing left, or that a router refused it. Any other one proves nothing. */
const CLOSING = new Set([
  'EPERM',
  'EACCES',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'ETIMEDOUT',
]);

/**
 * Tries to connect. A refusal counts as open: whoever sent it was reached. Silence counts as closed,
 * which is for where the question is whether it arrives; `TcpProber` tells whether it left.
 * @param host an address.
 */
export function openConnection(host: string, port: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    // At once, a process that was held up would overlook what has come in the meantime.
    const timer = setTimeout(() => setImmediate(settle, SILENCE), LIMIT_MS);
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    socket.once('connect', () => settle({ state: 'open', detail: CONNECTED }));
    socket.on('error', (error) => settle(describeError(error)));
  });
}

/**
 * Sends one empty datagram. If the kernel takes it, it is open: the rules drop in the output hook,
 * and then the call itself fails.
 * @param host an address, with a zone (`fe80::1%eth0`) where it needs one.
 * @param broadcast whether the address is one of a broadcast, which has to be asked for.
 */
export function sendDatagram(host: string, port: number, broadcast = false): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const settle = (outcome: Outcome) => {
      socket.removeAllListeners('error').on('error', () => undefined);
      socket.close(() => resolve(outcome));
    };
    socket.once('error', (error) => settle(describeError(error)));
    socket.bind(0, () => {
      if (broadcast) socket.setBroadcast(true);
      socket.send(Buffer.alloc(0), port, host, (error) =>
        settle(error ? describeError(error) : { state: 'open', detail: 'it was sent' }),
      );
    });
  });
}

/**
 * Sends one empty datagram and waits whether it is refused: only a host that was reached does that.
 * For where nothing keeps datagrams from leaving, and the question is whether they arrive.
 * @param host an IPv4 address.
 */
export function awaitRefusal(host: string, port: number): Promise<Outcome> {
  return exchangeDatagram({
    limitMs: LIMIT_MS,
    silence: SILENCE,
    send: (socket, fail) =>
      // Called if it fails as well, as where there is no route. Not connected, send() would throw.
      socket.connect(port, host, (error?: Error) => {
        if (error) fail(error);
        else socket.send(Buffer.alloc(0));
      }),
    failed: describeError,
  });
}

/** One attempt a port, by UDP. */
export function udpAttempts(
  host: string,
  ports: readonly number[],
  broadcast?: boolean,
): Attempt[] {
  return ports.map((port) => ({
    what: String(port),
    kind: 'packet',
    run: () => sendDatagram(host, port, broadcast),
  }));
}

/** What a socket's error says about the way that it was to go. */
export function describeError(error: NodeJS.ErrnoException): Outcome {
  const code = error.code ?? error.message;
  if (code === 'ECONNREFUSED')
    return { state: 'open', detail: 'reached: it refused (ECONNREFUSED)' };
  if (CLOSING.has(code)) return { state: 'closed', detail: code };
  return { state: 'unknown', detail: `could not be tried: ${code}` };
}
