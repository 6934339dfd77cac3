import type { TalliedGroup } from './snapshot.ts';

/** Names that follow each other within this time came together. */
const GAP_MS = 10_000;
/** Names that are asked for by people's programs come a few at a time. */
const LEAST = 20;

/** What a burst is made of. */
export interface BurstPart
  extends Pick<TalliedGroup, 'event' | 'decision' | 'host' | 'count' | 'first'> {
  domain: string | null;
  /** Somebody is known to need it, so it is never lost in a burst. */
  isKnown: boolean;
}

/** Everything under one registrable domain. */
interface Unit<Part> {
  parts: Part[];
  /** Milliseconds since 1970. */
  first: number;
  count: number;
}

/**
 * Finds denied names that are noise by their number: of twenty or more that were first asked for close
 * after each other, all that were asked for no more often than most of them. What was asked for more
 * often, or at another time, stands out and is none of them. All names of one registrable domain count
 * as one.
 * @returns the parts that belong to a burst.
 */
export function findBursts<Part extends BurstPart>(parts: readonly Part[]): Set<Part> {
  const found = new Set<Part>();
  for (const burst of groupByTime(unitsOf(parts))) {
    if (burst.length < LEAST) continue;
    const counts = burst.map(({ count }) => count).sort((a, b) => a - b);
    const usual = counts[Math.floor(counts.length / 2)] ?? 0;
    for (const unit of burst) {
      if (unit.count > usual || unit.parts.some(({ isKnown }) => isKnown)) continue;
      for (const part of unit.parts) found.add(part);
    }
  }
  return found;
}

/** Parts the units where there is a gap in time. */
function groupByTime<Part>(units: readonly Unit<Part>[]): Unit<Part>[][] {
  const groups: Unit<Part>[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const unit of units.toSorted((a, b) => a.first - b.first)) {
    if (unit.first - last > GAP_MS) groups.push([]);
    groups.at(-1)?.push(unit);
    last = unit.first;
  }
  return groups;
}

function unitsOf<Part extends BurstPart>(parts: readonly Part[]): Unit<Part>[] {
  const units = new Map<string, Unit<Part>>();
  for (const part of parts) {
    const { event, decision, host, domain } = part;
    if (event !== 'egress' || decision === 'allow' || host === null) continue;
    const key = domain ?? host;
    const first = Date.parse(part.first);
    const unit = units.get(key) ?? { parts: [], first, count: 0 };
    units.set(key, unit);
    unit.parts.push(part);
    unit.first = Math.min(unit.first, first);
    unit.count += part.count;
  }
  return [...units.values()];
}
