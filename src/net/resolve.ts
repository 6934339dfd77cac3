import { lookup } from 'node:dns/promises';
import { canonicalAddress } from '../policy/host.ts';

/**
 * Looks a name up.
 * @returns its canonical addresses, at least one, in the resolver's order.
 * @throws an Error with the `code` of getaddrinfo(3) as Node names it: ENOTFOUND, EAI_AGAIN, …
 */
export type Resolve = (name: string) => Promise<string[]>;

/** Asks the system's resolver, /etc/hosts included. */
export const systemResolve: Resolve = async (name) => {
  const answers = await lookup(name, { all: true, order: 'verbatim' });
  return answers.map(({ address }) => canonicalAddress(address));
};

/**
 * Lets only so many look-ups run at a time; the others wait their turn. getaddrinfo blocks a thread
 * of libuv's pool, which may lend half of its threads to look-ups: without a limit, whoever asks
 * for slow names would keep ingress from finding whisper.
 */
export function limitResolve(resolve: Resolve, limit: number): Resolve {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (name) => {
    if (running >= limit) await new Promise<void>((proceed) => waiting.push(proceed));
    else running += 1;
    try {
      return await resolve(name);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}

/** How many look-ups egress may have under way and still leave a thread for the others. */
export function lookupLimit(threadPoolSize: string | undefined): number {
  const threads = Number(threadPoolSize) || 4;
  return Math.max(1, Math.floor(threads / 2) - 1);
}
