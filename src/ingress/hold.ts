import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { UpstreamConnector } from './upstream.ts';

/** How often it is tried again. */
const INTERVAL_MS = 250;
/** Requests that may wait at a time; their bodies are not read meanwhile, so each costs a few KB. */
const MAX_HELD = 64;

/** The way to whisper, on which a request can wait until whisper is back from a restart. */
export class HoldingConnector {
  readonly #upstream: UpstreamConnector;
  readonly #holdTime: number | null;
  #held = 0;

  /** @param holdTime milliseconds that a request may wait; null: none. */
  constructor(upstream: UpstreamConnector, holdTime: number | null) {
    this.#upstream = upstream;
    this.#holdTime = holdTime;
  }

  /** The address as UPSTREAM has it. */
  toString(): string {
    return String(this.#upstream);
  }

  /**
   * Connects to whisper, and waits for it where that is allowed.
   * @param cancel ends it.
   * @throws the error of the last attempt.
   */
  async connect(cancel: AbortSignal): Promise<Socket> {
    try {
      return await this.#upstream.connect(cancel);
    } catch (error) {
      if (this.#holdTime === null || this.#held >= MAX_HELD || cancel.aborted) throw error;
      this.#held += 1;
      try {
        return await this.#wait(performance.now() + this.#holdTime, cancel, error);
      } finally {
        this.#held -= 1;
      }
    }
  }

  async #wait(end: number, cancel: AbortSignal, first: unknown): Promise<Socket> {
    let last = first;
    while (performance.now() < end) {
      await delay(Math.min(INTERVAL_MS, end - performance.now()), undefined, { signal: cancel });
      try {
        return await this.#upstream.connect(cancel);
      } catch (error) {
        if (cancel.aborted) throw error;
        last = error;
      }
    }
    throw last;
  }
}
