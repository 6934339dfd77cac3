import type { Decision } from '../policy/decide.ts';
import type { Minute } from './snapshot.ts';

const KEPT = 60;
const MINUTE_MS = 60_000;

/** How much was decided in each of the last sixty minutes. */
export class Minutes {
  /** By minutes since 1970. */
  readonly #counts = new Map<number, { allow: number; deny: number }>();

  /**
   * Counts a decision; `would_deny` was let through, and counts as that.
   * @param now milliseconds since 1970.
   */
  count(decision: Decision, now: number): void {
    const minute = Math.floor(now / MINUTE_MS);
    let counts = this.#counts.get(minute);
    if (counts === undefined) {
      counts = { allow: 0, deny: 0 };
      this.#counts.set(minute, counts);
      this.#forget(minute);
    }
    counts[decision === 'deny' ? 'deny' : 'allow'] += 1;
  }

  /** The last sixty minutes, the oldest first, the one that is not over last. */
  last(now: number): Minute[] {
    const minute = Math.floor(now / MINUTE_MS);
    return Array.from({ length: KEPT }, (_, index) => {
      const at = minute - (KEPT - 1) + index;
      const { allow, deny } = this.#counts.get(at) ?? { allow: 0, deny: 0 };
      return { at: new Date(at * MINUTE_MS).toISOString(), allow, deny };
    });
  }

  /** A clock that is set back leaves minutes behind that have not come yet. */
  #forget(minute: number): void {
    for (const at of this.#counts.keys()) {
      if (at > minute || at <= minute - KEPT) this.#counts.delete(at);
    }
  }
}
