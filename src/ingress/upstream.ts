import type { Socket } from 'node:net';
import { Pool } from 'undici';
import type { Upstream } from '../config/values.ts';
import { DialError, deadline, dial, dialUnix } from '../net/dial.ts';
import type { Resolve } from '../net/resolve.ts';
import { formatHostPort } from '../policy/host.ts';

export type UpstreamAddress = Exclude<Upstream, { kind: 'embedded' }>;

const PROBE_TIMEOUT_MS = 1_000;
/** On the bridge between the two a refusal takes less than a millisecond. */
const GATE_PROBE_TIMEOUT_MS = 300;
/** Discard (RFC 863), where nobody listens any more. */
const UNUSED_PORT = 9;
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
  connect(timeout = this.#connectTimeout): Promise<Socket> {
    return this.#dial(this.#address, timeout);
  }

  async #dial(address: UpstreamAddress, timeout: number): Promise<Socket> {
    const { controller, clear } = deadline(timeout);
    const { signal } = controller;
    try {
      if (address.kind === 'unix') return await dialUnix(address.path, signal);
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
      const addresses = await Promise.race([this.#resolve(address.host, signal), aborted]);
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
   * Whether whisper's machine answers at a port that is not whisper's. A gate drops what goes there,
   * so an answer, be it a refusal, tells that there is none.
   */
  async isUngated(): Promise<boolean> {
    if (this.#address.kind === 'unix') return false;
    try {
      (await this.#dial({ ...this.#address, port: UNUSED_PORT }, GATE_PROBE_TIMEOUT_MS)).destroy();
      return true;
    } catch (error) {
      return error instanceof DialError && error.code === 'ECONNREFUSED';
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
