import { lookup } from 'node:dns/promises';
import { canonicalAddress } from '../policy/host.ts';

/**
 * Looks a name up.
 * @param signal the asker has given up: a look-up that has not begun need not begin any more.
 * @returns its canonical addresses, at least one, in the resolver's order.
 * @throws an Error with the `code` of getaddrinfo(3) as Node names it: ENOTFOUND, EAI_AGAIN, …
 */
export type Resolve = (name: string, signal?: AbortSignal) => Promise<string[]>;

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
  const waiting = new Set<() => void>();
  let running = 0;
  return async (name, signal) => {
    if (running >= limit) await waitIn(waiting, signal);
    else running += 1;
    try {
      return await resolve(name, signal);
    } finally {
      const [next] = waiting;
      if (next) next();
      else running -= 1;
    }
  };
}

/** Waits until its turn is called. Who has given up leaves the queue, so that it stays short. */
function waitIn(queue: Set<() => void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      queue.delete(proceed);
      reject(signal?.reason);
    };
    const proceed = () => {
      queue.delete(proceed);
      signal?.removeEventListener('abort', leave);
      resolve();
    };
    queue.add(proceed);
    signal?.addEventListener('abort', leave);
  });
}

/** How many look-ups egress may have under way and still leave a thread for the others. */
export function lookupLimit(threadPoolSize: string | undefined): number {
  const threads = Number(threadPoolSize) || 4;
  return Math.max(1, Math.floor(threads / 2) - 1);
}
