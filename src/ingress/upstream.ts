import type { Socket } from 'node:net';
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
   * Connects to whisper. Nothing limits how long an answer may take: a transcription may be silent
   * for an hour, and TCP keep-alive tells whether the other end is still there.
   * @param cancel ends the attempt.
   * @throws DialError, or the resolver's error.
   */
  connect(cancel?: AbortSignal): Promise<Socket> {
    return this.#dial(this.#address, this.#connectTimeout, cancel);
  }

  async #dial(address: UpstreamAddress, timeout: number, cancel?: AbortSignal): Promise<Socket> {
    const { controller, clear } = deadline(timeout);
    const { signal } = controller;
    const abort = () => controller.abort(new DialError('ECANCELED'));
    if (cancel?.aborted) abort();
    else cancel?.addEventListener('abort', abort);
    try {
      if (address.kind === 'unix') return await dialUnix(address.path, signal);
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
      const addresses = await Promise.race([this.#resolve(address.host, signal), aborted]);
      return await dial(addresses, address.port, signal);
    } finally {
      clear();
      cancel?.removeEventListener('abort', abort);
    }
  }

  /** Whether whisper listens now. */
  async probe(): Promise<{ state: 'up' } | { state: 'down'; error: string }> {
    try {
      (await this.#dial(this.#address, PROBE_TIMEOUT_MS)).destroy();
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
}
