import { type Resolve, ResolveError } from './resolve.ts';

/**
 * How many look-ups may have just begun: with A and AAAA each, they stay below the 150 questions that
 * a dnsmasq passes on at a time by default, of which the neighbours need some too.
 */
const TURNS = 64;
/** How long a look-up counts as just begun. Most answers come sooner, and silence takes no more. */
const TURN_MS = 250;
/** All that are under way; each has up to four sockets. */
const MAX_UNDER_WAY = 256;
/** More names than these are not waited for. */
const MAX_WAITING = 8_192;

/** A name that is being looked up, or waits for its turn. */
interface Shared {
  name: string;
  askers: Set<Asker>;
  controller: AbortController;
  /** Runs while it has its turn. */
  turn: NodeJS.Timeout | undefined;
}

interface Asker {
  resolve: (addresses: string[]) => void;
  reject: (reason: unknown) => void;
}

/**
 * Look-ups that are shared and bounded. Whoever asks for a name that is being looked up already
 * joins; a look-up ends when the last of those who wait for it has gone. Names begin in the order in
 * which they came, so many at a time, and one that is not answered at once lets the next one begin,
 * while it is still listened to: silent names hold nobody up for long. If too many are under way,
 * the oldest ends with EAI_AGAIN.
 */
export class SharedLookups {
  readonly #resolve: Resolve;
  readonly #shared = new Map<string, Shared>();
  readonly #waiting = new Set<Shared>();
  /** The oldest first. */
  readonly #underWay = new Set<Shared>();
  #turns = 0;

  constructor(resolve: Resolve) {
    this.#resolve = resolve;
  }

  readonly resolve: Resolve = async (name, signal) => {
    signal?.throwIfAborted();
    const shared = this.#shared.get(name) ?? this.#add(name);
    return new Promise((resolve, reject) => {
      const leave = () => {
        shared.askers.delete(asker);
        reject(signal?.reason);
        if (shared.askers.size === 0) this.#remove(shared);
      };
      const settled = () => signal?.removeEventListener('abort', leave);
      const asker: Asker = {
        resolve: (addresses) => {
          settled();
          resolve([...addresses]);
        },
        reject: (reason) => {
          settled();
          reject(reason);
        },
      };
      signal?.addEventListener('abort', leave);
      shared.askers.add(asker);
    });
  };

  #add(name: string): Shared {
    if (this.#waiting.size >= MAX_WAITING) throw new ResolveError('EAI_AGAIN', name);
    const shared: Shared = {
      name,
      askers: new Set(),
      controller: new AbortController(),
      turn: undefined,
    };
    this.#shared.set(name, shared);
    this.#waiting.add(shared);
    this.#beginNext();
    return shared;
  }

  #beginNext(): void {
    for (const shared of this.#waiting) {
      if (this.#turns >= TURNS) return;
      this.#waiting.delete(shared);
      this.#begin(shared);
    }
  }

  #begin(shared: Shared): void {
    this.#underWay.add(shared);
    this.#turns += 1;
    shared.turn = setTimeout(() => {
      this.#endTurn(shared);
      this.#beginNext();
    }, TURN_MS);
    this.#resolve(shared.name, shared.controller.signal).then(
      (addresses) => this.#settle(shared, (asker) => asker.resolve(addresses)),
      (error: unknown) => this.#settle(shared, (asker) => asker.reject(error)),
    );
    const [oldest] = this.#underWay;
    if (oldest && this.#underWay.size > MAX_UNDER_WAY) {
      const error = new ResolveError('EAI_AGAIN', oldest.name);
      this.#settle(oldest, (asker) => asker.reject(error));
    }
  }

  #settle(shared: Shared, tell: (asker: Asker) => void): void {
    for (const asker of shared.askers) tell(asker);
    shared.askers.clear();
    this.#remove(shared);
  }

  #remove(shared: Shared): void {
    if (this.#shared.get(shared.name) === shared) this.#shared.delete(shared.name);
    this.#waiting.delete(shared);
    this.#underWay.delete(shared);
    this.#endTurn(shared);
    shared.controller.abort();
    this.#beginNext();
  }

  #endTurn(shared: Shared): void {
    if (shared.turn === undefined) return;
    clearTimeout(shared.turn);
    shared.turn = undefined;
    this.#turns -= 1;
  }
}
