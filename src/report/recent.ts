import type { RulesInForce } from '../live/rules-in-force.ts';
import type { DecisionObserver, DecisionRecord, EndTotals } from '../log/decision-log.ts';
import { presetFor } from '../policy/presets.ts';
import { findBursts } from './bursts.ts';
import { allowCommand, RELOAD_COMMAND } from './commands.ts';
import { domainOf } from './domains.ts';
import type { FailureGroup } from './failures.ts';
import { Minutes } from './minutes.ts';
import { remedyFor, takenGroups } from './remedies.ts';
import { RuleUses } from './rule-uses.ts';
import type { DecisionGroup, ShownGroup, Snapshot } from './snapshot.ts';
import { Tally } from './tally.ts';

/**
 * What the running program remembers of its decisions, in bounded memory. A connection that is let
 * through and later ended (`sni_mismatch`, `no_sni`, `upload_limit`) is a denial of its own beside
 * the allow.
 */
export class RecentDecisions implements DecisionObserver {
  readonly #rules: RulesInForce;
  readonly #since = new Date().toISOString();
  readonly #tally = new Tally();
  readonly #minutes = new Minutes();
  readonly #uses: RuleUses;
  readonly #failures: () => FailureGroup[];

  /** @param failures tells how whisper has failed at ingress. */
  constructor(rules: RulesInForce, failures: () => FailureGroup[] = () => []) {
    this.#rules = rules;
    this.#failures = failures;
    this.#uses = new RuleUses(rules);
  }

  decided(record: DecisionRecord, totals: EndTotals | null): void {
    const now = Date.now();
    const time = new Date(now).toISOString();
    this.#tally.add(record, time);
    this.#uses.count(record, totals !== null, time);
    if (record.event === 'egress') this.#minutes.count(record.decision, now);
  }

  /** All of it as it is now, with what could be done about each denial under the rules in force. */
  snapshot(): Snapshot {
    const { hash, policy } = this.#rules;
    const known = { policy, taken: takenGroups(policy.allow) };
    return {
      since: this.#since,
      config: hash,
      mode: policy.mode,
      denies_all: policy.invalid === true,
      groups: showGroups(
        this.#tally.groups().map((group) => ({ ...group, remedy: remedyFor(group, known) })),
      ),
      rules: this.#uses.list(),
      minutes: this.#minutes.last(Date.now()),
      failures: this.#failures(),
      reload: RELOAD_COMMAND,
    };
  }
}

function showGroups(groups: readonly DecisionGroup[]): ShownGroup[] {
  const parts = groups.map((group) => {
    const source = group.host === null ? null : (presetFor(group.host)?.what ?? null);
    return { ...group, domain: domainOf(group.host), source, isKnown: source !== null };
  });
  const bursts = findBursts(parts.filter(({ remedy }) => !remedy?.noise && !remedy?.verify));
  return parts.map((part) => {
    const { isKnown: _, ...group } = part;
    const { line = null, limit = null } = group.remedy ?? {};
    const command = line === null ? null : allowCommand(line, limit);
    return { ...group, burst: bursts.has(part), command };
  });
}
