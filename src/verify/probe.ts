import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Whether a way is shut. `unknown` if it could not be tried, which counts as a failure. `untried` if the
 * kernel lets nobody try it while whisper runs: else nothing that runs could be verified.
 */
export type State = 'closed' | 'open' | 'unknown' | 'untried';

/** What came of a try. */
export interface Outcome {
  state: State;
  /** For people: what happened, in a few words. */
  detail: string;
}

/**
 * A `request` is answered by the proxy (the default). A `packet` is one or a few packets, and then
 * mostly waiting. A `share` is a part of what one helper does for all of them.
 */
export type Kind = 'request' | 'packet' | 'share';

/** One try of a probe: one port, one kind of call. */
export interface Attempt {
  /** What tells it from the others of its probe: a port, a target; empty if there are no others. */
  what: string;
  /** How much it asks of others, and so how many of its kind there may be at once. */
  kind?: Kind;
  run(): Promise<Outcome>;
}

/** A way that is tried, and how it should be. It is open as soon as one of its attempts is. */
export interface Probe {
  group: string;
  name: string;
  want: 'closed' | 'open';
  attempts: Attempt[];
}

/** A probe that was run. */
export interface Result extends Outcome {
  group: string;
  name: string;
  want: 'closed' | 'open';
}

/** How many attempts there are at once, and when one, and all together, are given up. */
export interface Bounds {
  atOnce: Record<Kind, number>;
  /** How long after one packet the next one is sent, at the least. */
  apartMs: number;
  limitMs: number;
  totalMs: number;
}

/** What an attempt came to, with what it was about. */
export type Tried = Outcome & { what: string };

const KINDS: readonly Kind[] = ['request', 'packet', 'share'];

/**
 * Runs probes, in no particular order.
 * @returns a result for each, in the order of the probes. It never rejects: an attempt that throws,
 * or that the limits leave no time, is unknown.
 */
export async function runProbes(
  probes: readonly Probe[],
  { atOnce, apartMs, limitMs, totalMs }: Bounds,
): Promise<Result[]> {
  const end = performance.now() + totalMs;
  const all = probes.flatMap(({ attempts }) => attempts);
  const outcomes = new Map<Attempt, Outcome>();
  const run = async (attempt: Attempt) => {
    const left = end - performance.now();
    if (left > 0) outcomes.set(attempt, await within(attempt, Math.min(limitMs, left)));
  };
  const runKind = async (kind: Kind) => {
    const queue = all.filter((attempt) => kindOf(attempt) === kind);
    // Each turn is counted from the one before: after a hold-up, nothing is made up for.
    let turns: Promise<unknown> = Promise.resolve();
    const worker = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const turn = turns;
        if (kind === 'packet') turns = turn.then(() => sleep(apartMs));
        await turn;
        await run(next);
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce[kind], queue.length) }, worker));
  };
  await Promise.all(KINDS.map(runKind));
  return probes.map(({ group, name, want, attempts }) => {
    const tried = attempts.map((attempt) => ({
      what: attempt.what,
      ...(outcomes.get(attempt) ?? {
        state: 'unknown' as const,
        detail: 'not tried: too little time',
      }),
    }));
    return { group, name, want, ...fold(tried) };
  });
}

/** How many attempts of a kind there are. */
export function countAttempts(probes: readonly Probe[], kind: Kind): number {
  return probes.flatMap(({ attempts }) => attempts).filter((one) => kindOf(one) === kind).length;
}

/** Whether a result is as it should be. */
export function isAsWanted({ state, want }: Result): boolean {
  return state === want || (state === 'untried' && want === 'closed');
}

/** A probe of one attempt. */
export function single(
  group: string,
  name: string,
  want: 'closed' | 'open',
  run: () => Promise<Outcome>,
): Probe {
  return { group, name, want, attempts: [{ what: '', run }] };
}

/**
 * What several attempts come to: open if one is, else unknown if one is, else untried, else closed.
 * Only those that decided are told.
 */
export function fold(tried: readonly Tried[]): Outcome {
  const worst = (['open', 'unknown', 'untried', 'closed'] as const).find((state) =>
    tried.some((one) => one.state === state),
  );
  if (worst === undefined) return { state: 'unknown', detail: 'not tried' };
  const byDetail = new Map<string, string[]>();
  for (const { state, what, detail } of tried) {
    if (state !== worst) continue;
    const whats = byDetail.get(detail) ?? [];
    byDetail.set(detail, what === '' ? whats : [...whats, what]);
  }
  const parts = [...byDetail].map(([detail, whats]) =>
    whats.length === 0 ? detail : `${whats.join(', ')}: ${detail}`,
  );
  return { state: worst, detail: parts.join('; ') };
}

function kindOf({ kind = 'request' }: Attempt): Kind {
  return kind;
}

async function within(attempt: Attempt, limitMs: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<Outcome>((resolve) => {
    const detail = `nothing came of it within ${Math.ceil(limitMs / 1000)} s`;
    timer = setTimeout(() => resolve({ state: 'unknown', detail }), limitMs);
  });
  try {
    return await Promise.race([attempt.run(), limit]);
  } catch (error) {
    return { state: 'unknown', detail: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
