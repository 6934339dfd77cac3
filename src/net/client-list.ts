import type { Logger } from '../log/logger.ts';
import { classifyAddress } from '../policy/addresses.ts';
import { type ClientRule, coversClient, touchesClient } from '../policy/clients.ts';
import { canonicalAddress } from '../policy/host.ts';
import type { Resolve } from './resolve.ts';

/** How long a look-up counts: containers come back with other addresses. */
const FRESH_MS = 5_000;
/** How long they are good enough for a client that need not wait for the next one. */
const RECENT_MS = 2 * FRESH_MS;
/** How long the last known addresses count while the name cannot be looked up. */
const KEPT_MS = 5 * 60_000;
/** How soon a stranger can cause another look-up. */
const AGAIN_MS = 1_000;
const LOOKUP_TIMEOUT_MS = 3_000;
/** How long a known client waits for a look-up that may say something new. */
const KNOWN_WAIT_MS = 250;

/** Whether a client may use a listener. */
export type ClientCheck =
  | { allowed: true }
  /** `unresolved`: a name of the list that cannot be looked up; it may be this client's. */
  | { allowed: false; unresolved: { name: string; error: string } | null };

/** What is known of a name. */
interface Name {
  name: string;
  /** Those of the last look-up that said anything; none where the name does not exist. */
  addresses: readonly string[];
  /** When that was. */
  answeredAt: number;
  /** When the last look-up ended. */
  triedAt: number;
  /** The code of the error that it ended with. */
  error: string | null;
}

/**
 * Who may use a listener. Names are looked up again as they change. One that does not exist is
 * nobody; one that cannot be looked up keeps its last addresses for five minutes, and after that it is
 * nobody too, until a look-up succeeds.
 */
export class ClientList {
  readonly #rules: readonly ClientRule[] | null;
  readonly #resolve: Resolve;
  readonly #logger: Logger;
  readonly #variable: string;
  readonly #names: Name[];
  #refreshing: Promise<void> | null = null;

  /**
   * @param variable the one that the rules are from, for messages.
   * @param rules null: anybody may.
   */
  constructor(
    variable: string,
    rules: readonly ClientRule[] | null,
    resolve: Resolve,
    logger: Logger,
  ) {
    this.#variable = variable;
    this.#rules = rules;
    this.#resolve = resolve;
    this.#logger = logger;
    const never = Number.NEGATIVE_INFINITY;
    this.#names = (rules ?? []).flatMap((rule) =>
      rule.kind === 'name'
        ? [{ name: rule.name, addresses: [], answeredAt: never, triedAt: never, error: null }]
        : [],
    );
  }

  /**
   * Checks a client, with a look-up where the last one is too old.
   * @param address canonical, or null where the listener has no addresses (a unix socket).
   */
  async check(address: string | null): Promise<ClientCheck> {
    if (this.#rules === null) return { allowed: true };
    if (address === null) return { allowed: false, unresolved: null };
    if (coversClient(this.#rules, address)) return { allowed: true };
    const owner = this.#ownerOf(address);
    if (!owner || !isFresh(owner)) await this.#update(owner ? [owner] : []);
    if (this.#ownerOf(address)) return { allowed: true };
    const unresolved = this.#names.find(({ error }) => error !== null && !isDefinite(error));
    if (!unresolved) return { allowed: false, unresolved: null };
    return { allowed: false, unresolved: { name: unresolved.name, error: unresolved.error ?? '' } };
  }

  /** Whether a client is let in by what is known now: nothing is looked up for it. */
  isKnownNow(address: string | null): boolean {
    if (this.#rules === null) return true;
    if (address === null) return false;
    return coversClient(this.#rules, address) || this.#ownerOf(address) !== undefined;
  }

  /** Whether `check` lets a client in. */
  async allows(address: string | null): Promise<boolean> {
    return (await this.check(address)).allowed;
  }

  /**
   * Whether an address is a client's, or may be one: while the addresses of a name are not known,
   * every address that is not public may. Looks nothing up; see `refresh`.
   */
  mayInclude(address: string): boolean {
    if (this.#rules === null) return false;
    if (this.#ownerOf(address) || touchesClient(this.#rules, address)) return true;
    return !this.#names.every(isKnown) && !classifyAddress(address).public;
  }

  /**
   * Looks the names up again, unless the last look-up is fresh.
   * @param limit how many milliseconds are waited for it.
   */
  async refresh(limit = LOOKUP_TIMEOUT_MS): Promise<void> {
    if (!this.#names.every(isFresh)) await settled(this.#update(this.#names), limit);
  }

  /** What is wrong with the names of the list, in a sentence each. */
  problems(): string[] {
    return this.#names.flatMap((name) => this.#explain(name) ?? []);
  }

  #ownerOf(address: string): Name | undefined {
    return this.#names.find((name) => isKnown(name) && name.addresses.includes(address));
  }

  /**
   * Waits for a look-up.
   * @param known the names that are enough; they are not waited for long if their addresses are of late,
   * or if the last look-up failed, so that there may be no answer.
   */
  async #update(known: readonly Name[]): Promise<void> {
    if (this.#names.length === 0) return;
    this.#refreshing ??= this.#lookUpAll();
    if (known.length === 0 || !known.every(isKnown)) return this.#refreshing;
    const mayWait = known.every(({ error }) => error === null || isDefinite(error));
    if (mayWait && !known.every(isRecent)) return this.#refreshing;
    await settled(this.#refreshing, KNOWN_WAIT_MS);
  }

  async #lookUpAll(): Promise<void> {
    await Promise.all(this.#names.map((name) => this.#lookUp(name)));
    this.#refreshing = null;
  }

  async #lookUp(name: Name): Promise<void> {
    if (performance.now() - name.triedAt < AGAIN_MS) return;
    const before = name.error;
    try {
      name.addresses = await withTimeout((signal) => this.#resolve(name.name, signal));
      name.error = null;
    } catch (error) {
      name.error = codeOf(error);
      if (isDefinite(name.error)) name.addresses = [];
    }
    name.triedAt = performance.now();
    if (name.error === null || isDefinite(name.error)) name.answeredAt = name.triedAt;
    this.#tell(name, before);
  }

  /** Logs what has changed. */
  #tell(name: Name, before: string | null): void {
    if (name.error === before) return;
    const problem = this.#explain(name);
    if (problem !== null) this.#logger.warn({ client: name.name, error: name.error }, problem);
    else {
      const message = `${name.name} in ${this.#variable} can be looked up again`;
      this.#logger.info({ client: name.name }, message);
    }
  }

  #explain({ name, addresses, answeredAt, error }: Name): string | null {
    if (error === null) return null;
    if (isDefinite(error)) {
      return `${this.#variable} names ${name}, which does not exist (${error}). Its requests are rejected. Does a container of that name run on this network?`;
    }
    const cause = `${name} in ${this.#variable} cannot be looked up (${error}). Does this network's name server run?`;
    const left = Math.ceil((answeredAt + KEPT_MS - performance.now()) / 1_000);
    return addresses.length > 0 && left > 0
      ? `${cause} Its last address, ${addresses.join(', ')}, counts for ${left} s more.`
      : `${cause} Until it can be looked up, its requests are rejected.`;
  }
}

/** The canonical address of a socket's peer, or null on a unix socket. */
export function peerAddress(remoteAddress: string | undefined): string | null {
  return remoteAddress === undefined ? null : canonicalAddress(remoteAddress);
}

function isFresh({ answeredAt }: Name): boolean {
  return performance.now() - answeredAt < FRESH_MS;
}

function isRecent({ answeredAt }: Name): boolean {
  return performance.now() - answeredAt < RECENT_MS;
}

function isKnown({ answeredAt }: Name): boolean {
  return performance.now() - answeredAt < KEPT_MS;
}

/** Whether an error says for certain that there is no such name, or that it has no address. */
function isDefinite(code: string): boolean {
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN';
}

/** Waits until a promise is settled, but not for long. */
async function settled(promise: Promise<void>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function withTimeout<Value>(run: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = Object.assign(new Error('the look-up took too long'), { code: 'ETIMEDOUT' });
      reject(error);
      controller.abort(error);
    }, LOOKUP_TIMEOUT_MS);
  });
  return Promise.race([run(controller.signal), timeout]).finally(() => clearTimeout(timer));
}
