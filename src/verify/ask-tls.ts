import { connect, type Socket } from 'node:net';
import { CONNECT_LIMIT_MS } from './ask.ts';
import type { Outcome } from './probe.ts';

/** What came first for bytes that were sent where TLS is expected. */
export type TlsAnswer =
  | { kind: 'server_hello' }
  /** A fatal alert; its description by name, where the proxy has it too. */
  | { kind: 'alert'; description: string }
  /** Other bytes. */
  | { kind: 'bytes' }
  /** The end, without a byte. */
  | { kind: 'end'; why: string }
  /** There is a connection, but nothing came on it. */
  | { kind: 'silence' }
  | { kind: 'unreached'; why: string };

/** A ServerHello may have to come from the other end of the world. */
const LIMIT_MS = 5_000;

const ALERT = 21;
const HANDSHAKE = 22;
const SERVER_HELLO = 2;
/** As many as tell a ServerHello, or an alert and its description, from anything else. */
const HEAD_BYTES = 7;
/** RFC 8446, section 6; those that the proxy sends. */
const ALERTS = new Map([
  [49, 'access_denied'],
  [112, 'unrecognized_name'],
]);

/** Connects, sends bytes, and waits for what comes first. It never rejects. */
export function askTls(
  address: string,
  port: number,
  bytes: Buffer,
  limitMs?: number,
): Promise<TlsAnswer> {
  return sendTls(connect({ host: address, port }), bytes, limitMs);
}

/**
 * Sends bytes on a connection, or on one that is being made, and waits for what comes first; that is
 * its end. It never rejects.
 */
export function sendTls(socket: Socket, bytes: Buffer, limitMs = LIMIT_MS): Promise<TlsAnswer> {
  return new Promise((resolve) => {
    let isConnected = !socket.connecting;
    let received = Buffer.alloc(0);
    const settle = (answer: TlsAnswer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const silence = () => {
      if (!isConnected) settle({ kind: 'unreached', why: 'no answer' });
      else settle(received.length > 0 ? { kind: 'bytes' } : { kind: 'silence' });
    };
    // At once, a process that was held up would overlook what has come in the meantime.
    const limit = (ms: number) => setTimeout(() => setImmediate(silence), ms);
    let timer = limit(isConnected ? limitMs : CONNECT_LIMIT_MS);
    const end = (why: string) => {
      if (!isConnected) settle({ kind: 'unreached', why });
      else settle(received.length > 0 ? { kind: 'bytes' } : { kind: 'end', why });
    };
    socket.once('connect', () => {
      isConnected = true;
      clearTimeout(timer);
      timer = limit(limitMs);
    });
    socket.on('error', ({ code = 'an error' }: NodeJS.ErrnoException) => {
      // It may be reset before it is known to be there.
      isConnected ||= code === 'ECONNRESET' || code === 'EPIPE';
      end(code);
    });
    socket.once('close', () => end('closed'));
    socket.on('data', (more) => {
      received = Buffer.concat([received, more]);
      if (received.length >= HEAD_BYTES) settle(read(received));
    });
    socket.once('end', () => end('closed'));
    socket.write(bytes);
  });
}

function read(bytes: Buffer): TlsAnswer {
  if (bytes[0] === HANDSHAKE && bytes[5] === SERVER_HELLO) return { kind: 'server_hello' };
  if (bytes[0] !== ALERT) return { kind: 'bytes' };
  const number = bytes.readUInt8(6);
  return { kind: 'alert', description: ALERTS.get(number) ?? `alert ${number}` };
}

/**
 * What an answer to a ClientHello says about a way that must be closed. The proxy refuses with an
 * alert; whatever else comes is from beyond it. A bare end may be: the proxy resets what it let through
 * and could not reach.
 * @param refusals the alerts by which it refuses.
 */
export function judgeHello(answer: TlsAnswer, refusals: readonly string[]): Outcome {
  if (answer.kind === 'alert' && refusals.includes(answer.description)) {
    return { state: 'closed', detail: answer.description };
  }
  const isProof = answer.kind !== 'end' && answer.kind !== 'silence' && answer.kind !== 'unreached';
  return { state: isProof ? 'open' : 'unknown', detail: sayTls(answer) };
}

/**
 * What an answer to bytes that are no TLS says about a way that must be closed. The proxy resets at
 * the first of them; a server would wait for more.
 */
export function judgeNoTls(answer: TlsAnswer): Outcome {
  const detail = sayTls(answer);
  if (answer.kind === 'end') return { state: 'closed', detail };
  return { state: answer.kind === 'unreached' ? 'unknown' : 'open', detail };
}

/** An answer for people. */
export function sayTls(answer: TlsAnswer): string {
  switch (answer.kind) {
    case 'server_hello':
      return 'a TLS server answered';
    case 'alert':
      return answer.description;
    case 'bytes':
      return 'something answered that is no TLS server';
    case 'end':
      return `${answer.why}, without a word`;
    case 'silence':
      return 'it was taken, and not answered';
    case 'unreached':
      return `no connection: ${answer.why}`;
  }
}
