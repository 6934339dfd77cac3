import type { Counter } from 'prom-client';

/** Bytes that went each way, as seen from the proxy. */
export interface BothWays {
  in: number;
  out: number;
}

interface Open<Labels> {
  labels: Labels;
  read: () => BothWays;
  counted: BothWays;
}

/**
 * Counts the bytes of connections while they are open: one that carries a model for half an hour
 * shows when it does so, not all at once when it ends.
 */
export class LiveBytes<Label extends string> {
  readonly #counter: Counter<Label | 'direction'>;
  readonly #open = new Map<object, Open<Record<Label, string>>>();

  constructor(counter: Counter<Label | 'direction'>) {
    this.#counter = counter;
  }

  /**
   * @param key stands for the connection.
   * @param read gives what it has carried so far.
   */
  open(key: object, labels: Record<Label, string>, read: () => BothWays): void {
    this.#open.set(key, { labels, read, counted: { in: 0, out: 0 } });
  }

  end(key: object): void {
    const connection = this.#open.get(key);
    if (connection) this.#count(connection);
    this.#open.delete(key);
  }

  /** Counts what the open ones have carried since the last time. */
  collect(): void {
    for (const connection of this.#open.values()) this.#count(connection);
  }

  #count({ labels, read, counted }: Open<Record<Label, string>>): void {
    const carried = read();
    for (const direction of ['in', 'out'] as const) {
      // What waits to be written counts as written, and a connection that breaks takes it back.
      const more = Math.max(0, carried[direction] - counted[direction]);
      counted[direction] += more;
      this.#counter.inc({ ...labels, direction }, more);
    }
  }
}
