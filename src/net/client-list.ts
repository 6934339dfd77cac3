import type { Logger } from '../log/logger.ts';
import { type ClientRule, coversClient, touchesClient } from '../policy/clients.ts';
import { canonicalAddress } from '../policy/host.ts';
import type { Resolve } from './resolve.ts';

/** How long a looked-up name is believed: containers come back with other addresses. */
const FRESH_MS = 5_000;
/** How soon a stranger can make us look again. */
const AGAIN_MS = 1_000;
const LOOKUP_TIMEOUT_MS = 3_000;

/** Who may use a listener. Names are looked up again as they change; one that cannot be is nobody. */
export class ClientList {
  readonly #rules: readonly ClientRule[] | null;
  readonly #resolve: Resolve;
  readonly #logger: Logger;
  readonly #names = new Map<string, { addresses: readonly string[]; at: number }>();
  #refreshing: Promise<void> | null = null;

  /** @param rules null: anybody may. */
  constructor(rules: readonly ClientRule[] | null, resolve: Resolve, logger: Logger) {
    this.#rules = rules;
    this.#resolve = resolve;
    this.#logger = logger;
  }

  /** @param address canonical, or null where the listener has no addresses (a unix socket). */
  async allows(address: string | null): Promise<boolean> {
    if (this.#rules === null) return true;
    if (address === null) return false;
    if (coversClient(this.#rules, address) || this.#isFresh(address)) return true;
    this.#refreshing ??= this.#refresh(this.#rules);
    await this.#refreshing;
    return this.#isFresh(address);
  }

  /** Whether an address is known to be a client's, without looking anything up. */
  includes(address: string): boolean {
    if (this.#rules === null) return false;
    const named = [...this.#names.values()].some(({ addresses }) => addresses.includes(address));
    return named || touchesClient(this.#rules, address);
  }

  #isFresh(address: string): boolean {
    const now = performance.now();
    return [...this.#names.values()].some(
      ({ addresses, at }) => now - at < FRESH_MS && addresses.includes(address),
    );
  }

  async #refresh(rules: readonly ClientRule[]): Promise<void> {
    const names = rules.flatMap((rule) => (rule.kind === 'name' ? [rule.name] : []));
    await Promise.all(names.map((name) => this.#lookUp(name)));
    this.#refreshing = null;
  }

  async #lookUp(name: string): Promise<void> {
    const known = this.#names.get(name);
    if (known && performance.now() - known.at < AGAIN_MS) return;
    let addresses: string[] = [];
    try {
      addresses = await withTimeout(this.#resolve(name));
    } catch (err) {
      const why = err instanceof Error ? err.message : String(err);
      const message = `the client ${name} cannot be looked up (${why}), and until it can, it is shut out: is a container of that name running on this network?`;
      if (known?.addresses.length !== 0) this.#logger.warn({ client: name }, message);
    }
    this.#names.set(name, { addresses, at: performance.now() });
  }
}

/** The canonical address of a socket's peer, or null on a unix socket. */
export function peerAddress(remoteAddress: string | undefined): string | null {
  return remoteAddress === undefined ? null : canonicalAddress(remoteAddress);
}

async function withTimeout<Value>(promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the look-up took too long')), LOOKUP_TIMEOUT_MS);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
