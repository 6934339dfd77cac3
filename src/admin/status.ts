import type { IngressActivity } from '../report/recent-requests.ts';
import type { Health } from './health.ts';

/** How the proxy and whisper are, as it is pushed to the status page. */
export interface Status {
  health: Health;
  ingress: IngressActivity;
}

/** Takes an event: `status` with a Status as JSON, or `tick`: the last one still holds. */
type Listener = (event: 'status' | 'tick', json: string) => void;

const EVERY_MS = 1_000;

/**
 * Reads the status once a second while somebody listens, however many they are, and tells them where it
 * has changed. Whoever hears nothing for some seconds knows that what he has is old.
 */
export class StatusFeed {
  readonly #read: () => Promise<Status>;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #isReading = false;
  #last = '';

  /** @param read gives the status as it is now. */
  constructor(read: () => Promise<Status>) {
    this.#read = read;
  }

  /** Tells a listener the status, and every change of it. @returns ends that. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    // For the others it has not changed by that, but they may hear it again.
    this.#last = '';
    if (!this.#isReading) void this.#tell();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearTimeout(this.#timer);
    };
  }

  async #tell(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isReading = true;
    const began = performance.now();
    // A status that cannot be read is not told, and so is known to be old.
    const status = await this.#read().catch(() => null);
    this.#isReading = false;
    if (this.#listeners.size === 0) return;
    if (status !== null) {
      const json = JSON.stringify(status);
      const isNew = json !== this.#last;
      this.#last = json;
      for (const tell of this.#listeners) {
        if (isNew) tell('status', json);
        else tell('tick', '{}');
      }
    }
    const wait = Math.max(0, began + EVERY_MS - performance.now());
    this.#timer = setTimeout(() => void this.#tell(), wait).unref();
  }
}
