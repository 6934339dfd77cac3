import { CONNECTED, openConnection } from './packets.ts';
import type { Outcome } from './probe.ts';
import { EGRESS_PORT } from './targets.ts';

/** Where whisper may talk to the proxy. */
export class Doors {
  readonly proxy: string;
  readonly #knocks = new Map<number, Promise<Outcome>>();

  /** @param proxy its address. */
  constructor(proxy: string) {
    this.proxy = proxy;
  }

  /**
   * Tries something at a port that answers. Each is looked at once for all that is tried there: where
   * nobody answers, each would wait by itself.
   */
  async at(port: number, run: () => Promise<Outcome>): Promise<Outcome> {
    const knock = this.#knocks.get(port) ?? openConnection(this.proxy, port);
    this.#knocks.set(port, knock);
    const { detail } = await knock;
    if (detail === CONNECTED) return run();
    // All the others may be off.
    const isOff = port !== EGRESS_PORT && detail.includes('ECONNREFUSED');
    return isOff
      ? { state: 'closed', detail: 'nothing listens there' }
      : { state: 'unknown', detail: `no proxy: ${detail}` };
  }
}
