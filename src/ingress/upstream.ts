import type { Socket } from 'node:net';
import { Pool } from 'undici';
import type { Upstream } from '../config/values.ts';
import { deadline, dial, dialUnix } from '../net/dial.ts';
import type { Resolve } from '../net/resolve.ts';
import { formatHostPort } from '../policy/host.ts';

export type UpstreamAddress = Exclude<Upstream, { kind: 'embedded' }>;

const PROBE_TIMEOUT_MS = 1_000;
/** As many as ingress has clients. */
const MAX_CONNECTIONS = 512;

/** The one way to whisper. */
export class UpstreamConnector {
  readonly #address: UpstreamAddress;
  readonly #resolve: Resolve;
  readonly #connectTimeout: number;

  /** @param connectTimeout milliseconds, the look-up included. */
  constructor(address: UpstreamAddress, resolve: Resolve, connectTimeout: number) {
    this.#address = address;
    this.#resolve = resolve;
    this.#connectTimeout = connectTimeout;
  }

  /** The address as UPSTREAM has it. */
  toString(): string {
    const address = this.#address;
    return address.kind === 'unix'
      ? `unix:${address.path}`
      : `http://${formatHostPort(address.host, address.port)}`;
  }

  /**
   * Connects to whisper.
   * @param timeout milliseconds.
   * @throws DialError, or the resolver's error.
   */
  async connect(timeout = this.#connectTimeout): Promise<Socket> {
    const address = this.#address;
    const { controller, clear } = deadline(timeout);
    const { signal } = controller;
    try {
      if (address.kind === 'unix') return await dialUnix(address.path, signal);
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
      const addresses = await Promise.race([this.#resolve(address.host), aborted]);
      return await dial(addresses, address.port, signal);
    } finally {
      clear();
    }
  }

  /** Whether whisper listens now. */
  async probe(): Promise<{ state: 'up' } | { state: 'down'; error: string }> {
    try {
      (await this.connect(PROBE_TIMEOUT_MS)).destroy();
      return { state: 'up' };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN';
      return { state: 'down', error: code };
    }
  }

  /**
   * Connections to whisper, one request each at a time. No time limit on an answer: a transcription
   * may be silent for an hour, and TCP keep-alive tells whether the other end is still there.
   */
  createPool(): Pool {
    return new Pool('http://whisper', {
      connect: (_options, callback) => {
        this.connect().then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        );
      },
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }
}
