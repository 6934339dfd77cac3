import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { Attempt, Outcome } from './probe.ts';

/** An answer from nearby takes less; the gate's refusal of a SYN shows after 1 s, when it is sent again. */
const LIMIT_MS = 1_500;

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
 * Tries to connect. A refusal counts as open: whoever sent it was reached. Nobody's silence is
 * closed, so an address where nobody is looks closed; `sendDatagram` tells.
 * @param host an address.
 */
export function openConnection(host: string, port: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => settle({ state: 'closed', detail: 'no answer' }), LIMIT_MS);
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    socket.once('connect', () => settle({ state: 'open', detail: 'connected' }));
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
      socket.close();
      resolve(outcome);
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
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timer = setTimeout(() => settle({ state: 'closed', detail: 'no answer' }), LIMIT_MS);
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      socket.removeAllListeners().on('error', () => undefined);
      socket.close();
      resolve(outcome);
    };
    socket.on('error', (error) => settle(describeError(error)));
    socket.connect(port, host, () => socket.send(Buffer.alloc(0)));
  });
}

/** One attempt a port, by TCP. */
export function tcpAttempts(host: string, ports: readonly number[]): Attempt[] {
  return ports.map((port) => ({ what: String(port), run: () => openConnection(host, port) }));
}

/** One attempt a port, by UDP. */
export function udpAttempts(
  host: string,
  ports: readonly number[],
  broadcast?: boolean,
): Attempt[] {
  return ports.map((port) => ({
    what: String(port),
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
