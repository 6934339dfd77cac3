import type { RulesInForce } from '../live/rules-in-force.ts';
import type { DecisionRecord } from '../log/decision-log.ts';
import { classifyAddress } from '../policy/addresses.ts';
import type { Policy } from '../policy/decide.ts';
import { findAddressRule, type List } from '../policy/rules.ts';
import type { RuleUse } from './snapshot.ts';

/** How often each rule has decided. */
export class RuleUses {
  readonly #rules: RulesInForce;
  readonly #uses = new Map<string, { used: number; last: string }>();
  /** When the rules now in force were first seen to be so. */
  #since: ReadonlyMap<string, string> = new Map();
  #seen: Policy | undefined;

  constructor(rules: RulesInForce) {
    this.#rules = rules;
    this.#notice();
  }

  /**
   * Counts the rules behind a decision. Where a name has an address that is not public, that is two:
   * the name's and the address's, or the second would look as if it could go.
   * @param isRevoked the connection was let through before, and its rule counted then.
   * @param time ISO 8601.
   */
  count(record: DecisionRecord, isRevoked: boolean, time: string): void {
    this.#notice();
    if (isRevoked) return;
    if (record.rule !== null) {
      this.#use(record.reason === 'deny_rule' ? 'deny' : 'allow', record.rule, time);
    }
    if (record.decision === 'deny' || record.address === null) return;
    const { address, port } = record;
    if (port === null || classifyAddress(address).public) return;
    const opened = findAddressRule(this.#rules.policy.allow, address, port);
    if (opened && opened.label !== record.rule) this.#use('allow', opened.label, time);
  }

  /** Every rule in force, in the order of the configuration, then those that are allowed for a time. */
  list(): RuleUse[] {
    this.#notice();
    const { policy, timed } = this.#rules;
    const ends = new Map(timed.map(({ rule, until }) => [rule, until]));
    const isTimed = (rule: (typeof policy.allow)[number]) => ends.has(rule);
    const configured = policy.allow.filter((rule) => !isTimed(rule));
    return [...configured, ...policy.deny, ...policy.allow.filter(isTimed)].map((rule) => {
      const use = this.#uses.get(keyOf(rule.list, rule.label));
      const until = ends.get(rule);
      return {
        list: rule.list,
        label: rule.label,
        used: use?.used ?? 0,
        last: use?.last ?? null,
        until: until === undefined ? null : new Date(until).toISOString(),
        since: this.#since.get(keyOf(rule.list, rule.label)) ?? new Date().toISOString(),
      };
    });
  }

  /** A rule that stays in a reload has been in force all the while. */
  #notice(): void {
    const { policy } = this.#rules;
    if (policy === this.#seen) return;
    this.#seen = policy;
    const now = new Date().toISOString();
    const keys = [...policy.allow, ...policy.deny].map(({ list, label }) => keyOf(list, label));
    this.#since = new Map(keys.map((key) => [key, this.#since.get(key) ?? now]));
  }

  #use(list: List, label: string, time: string): void {
    const key = keyOf(list, label);
    this.#uses.set(key, { used: (this.#uses.get(key)?.used ?? 0) + 1, last: time });
  }
}

function keyOf(list: List, label: string): string {
  return `${list} ${label}`;
}
