import type { DecisionRecord, Via } from '../log/decision-log.ts';
import type { TalliedGroup } from './snapshot.ts';

/** What the tally needs of a decision; its line may count several, and then has no `via`. */
export type Tallied = Pick<
  DecisionRecord,
  'event' | 'decision' | 'reason' | 'rule' | 'host' | 'port' | 'address' | 'client'
> & { via: Via | null; error?: string; final?: boolean; verify?: true };

/** Groups. Apart, so that a stranger at ingress cannot push out what whisper tries. */
const LIMITS = { egress: 900, ingress: 100 };

/**
 * Merges decisions into groups. There are a thousand at most: beyond that, the one that has had no
 * decision for longest is merged with others of its reason, without a host. Nothing goes uncounted.
 */
export class Tally {
  /** The one with the latest decision last. */
  readonly #groups = {
    egress: new Map<string, TalliedGroup>(),
    ingress: new Map<string, TalliedGroup>(),
  };
  /** Those without a host: no more than there are reasons. */
  readonly #merged = new Map<string, TalliedGroup>();

  /**
   * Counts a decision, or as many of the same as a line stands for.
   * @param time ISO 8601.
   * @returns its group, which the next decisions change.
   */
  add(decision: Tallied, time: string, count = 1): Readonly<TalliedGroup> {
    const group = groupOf(decision, time, count);
    // Lines that are not from our own program may have all kinds of rules and ports there.
    return group.host === null
      ? merge(this.#merged, { ...group, rule: null, port: null })
      : this.#keep(group);
  }

  /** Every group, the last in time first. */
  groups(): TalliedGroup[] {
    const { egress, ingress } = this.#groups;
    return [...egress.values(), ...ingress.values(), ...this.#merged.values()]
      .map((group) => ({ ...group, via: [...group.via] }))
      .sort((a, b) => (a.last < b.last ? 1 : a.last > b.last ? -1 : 0));
  }

  #keep(group: TalliedGroup): TalliedGroup {
    const groups = this.#groups[group.event];
    const kept = merge(groups, group);
    if (groups.size > LIMITS[group.event]) {
      const [oldest] = groups;
      if (oldest) {
        groups.delete(oldest[0]);
        merge(this.#merged, withoutHost(oldest[1]));
      }
    }
    return kept;
  }
}

function groupOf(decision: Tallied, time: string, count: number): TalliedGroup {
  const { event, reason, rule, host, port, via, address, error, client, final, verify } = decision;
  return {
    event,
    decision: decision.decision,
    reason,
    rule,
    host,
    port,
    via: via === null ? [] : [via],
    count,
    first: time,
    last: time,
    address,
    error: error ?? null,
    client,
    final: final ?? false,
    ...(verify ? { verify } : {}),
  };
}

function withoutHost(group: TalliedGroup): TalliedGroup {
  const { verify: _, ...rest } = group;
  const nothing = { rule: null, host: null, port: null, address: null, error: null, client: null };
  return { ...rest, ...nothing, final: false };
}

/** Merges a group into its like, and moves that to the end. */
function merge(groups: Map<string, TalliedGroup>, group: TalliedGroup): TalliedGroup {
  const { event, decision, reason, rule, host, port, verify } = group;
  const key = JSON.stringify([event, decision, reason, rule, host, port, verify]);
  const like = groups.get(key);
  if (like === undefined) {
    groups.set(key, group);
    return group;
  }
  groups.delete(key);
  groups.set(key, like);
  for (const via of group.via) if (!like.via.includes(via)) like.via.push(via);
  like.count += group.count;
  if (group.first < like.first) like.first = group.first;
  if (group.last < like.last) return like;
  like.last = group.last;
  like.address = group.address ?? like.address;
  like.error = group.error ?? like.error;
  like.client = group.client ?? like.client;
  like.final = group.final;
  return like;
}
