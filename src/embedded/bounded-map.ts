/** A map of at most `limit` entries: adding one more forgets the oldest. */
export class BoundedMap<V> {
  readonly #limit: number;
  readonly #entries = new Map<string, V>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  /** Adds an entry as the newest one. */
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limit) break;
      this.#entries.delete(oldest);
    }
  }

  /** Removes the entries that `matches` accepts, and gives them, oldest first. */
  take(matches: (key: string, value: V) => boolean): [string, V][] {
    const taken = [...this.#entries].filter(([key, value]) => matches(key, value));
    for (const [key] of taken) this.#entries.delete(key);
    return taken;
  }
}
