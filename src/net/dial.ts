import { isIPv6, type NetConnectOpts, type Socket } from 'node:net';
import { UpstreamSocket } from './upstream-socket.ts';

/** RFC 8305, section 5: the Connection Attempt Delay. */
const ATTEMPT_DELAY_MS = 250;
const KEEP_ALIVE_DELAY_MS = 30_000;

/** A dial that did not come about; `code` is the system's, or ETIMEDOUT, or ECANCELED. */
export class DialError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`the connection failed: ${code}`);
    this.code = code;
  }
}

/** A connection, and which of the addresses it goes to. */
export interface Dialled {
  socket: Socket;
  address: string;
}

/**
 * Connects to one of the addresses of a host: Happy Eyeballs (RFC 8305). The families take turns,
 * each attempt gets a head start of 250 ms, and the first that succeeds wins.
 * @param addresses that were checked; nothing is looked up here.
 * @param signal ends the attempt; its reason, if it is a DialError, is the error.
 * @throws DialError
 */
export async function dialAny(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Dialled> {
  const candidates = alternateFamilies(addresses).map((host) => ({ host, port }));
  // The socket itself does not know its peer any more if that has reset it by now.
  const { socket, candidate } = await race(candidates, signal);
  return { socket, address: candidate.host };
}

/** Like `dialAny`, for those who do not care which address it was. @throws DialError */
export async function dial(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  return (await dialAny(addresses, port, signal)).socket;
}

/** Connects to a unix socket. @throws DialError */
export async function dialUnix(path: string, signal: AbortSignal): Promise<Socket> {
  return (await race([{ path }], signal)).socket;
}

/** An AbortSignal that a dial takes as its deadline, and a function that lets it go. */
export function deadline(milliseconds: number): { controller: AbortController; clear: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DialError('ETIMEDOUT')), milliseconds);
  return { controller, clear: () => clearTimeout(timer) };
}

/** RFC 8305, section 4: the families take turns, beginning with that of the first address. */
export function alternateFamilies(addresses: readonly string[]): string[] {
  const first = addresses.filter((address) => isIPv6(address) === isIPv6(addresses[0] ?? ''));
  const second = addresses.filter((address) => !first.includes(address));
  return first
    .flatMap((address, index) => [address, second[index]])
    .concat(second.slice(first.length))
    .filter((address) => address !== undefined);
}

function race<Candidate extends NetConnectOpts>(
  candidates: Candidate[],
  signal: AbortSignal,
): Promise<{ socket: Socket; candidate: Candidate }> {
  return new Promise((resolve, reject) => {
    const attempts = new Set<Socket>();
    let lastCode = 'EADDRNOTAVAIL';
    let timer: NodeJS.Timeout | undefined;
    let index = 0;
    let settled = false;

    const settle = () => {
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      for (const attempt of attempts) attempt.destroy();
    };
    const abort = () => {
      settle();
      reject(signal.reason instanceof DialError ? signal.reason : new DialError('ECANCELED'));
    };
    const next = () => {
      clearTimeout(timer);
      const candidate = candidates[index++];
      if (candidate === undefined) {
        if (attempts.size > 0) return;
        settle();
        reject(new DialError(lastCode));
        return;
      }
      const options = { ...candidate, allowHalfOpen: true, noDelay: true };
      const socket = new UpstreamSocket(options).connect(options);
      attempts.add(socket);
      socket.once('connect', () => {
        attempts.delete(socket);
        settle();
        socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
        resolve({ socket, candidate });
      });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (settled) return;
        attempts.delete(socket);
        lastCode = error.code ?? 'UNKNOWN';
        next();
      });
      timer = setTimeout(next, ATTEMPT_DELAY_MS);
    };

    if (signal.aborted) abort();
    else {
      signal.addEventListener('abort', abort);
      next();
    }
  });
}
