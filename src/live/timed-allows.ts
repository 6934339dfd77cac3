import { type Logger, onRecord } from '../log/logger.ts';
import { textOf } from '../policy/remedy.ts';
import { parseRule, type Rule } from '../policy/rules.ts';
import type { RulesInForce, TimedRule } from './rules-in-force.ts';

/** The group of rules that are allowed for a time; no variable can make it, since theirs are in upper case. */
export const TIMED_GROUP = 'timed';
/** More than anybody adds by hand. */
const MAX_RULES = 100;

/** Why nothing can be allowed for a time; the message is a sentence with the remedy. */
export class TimedAllowError extends Error {
  readonly code = 'CANNOT_ALLOW';
}

/** Rules that are allowed for a time, beside those of the configuration; none of them outlives the program. */
export class TimedAllows {
  readonly #rules: RulesInForce;
  readonly #logger: Logger;
  readonly #onEnd: () => object;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** @param onEnd called when rules have ended, and no longer count; what it gives is logged. */
  constructor(rules: RulesInForce, logger: Logger, onEnd: () => object) {
    this.#rules = rules;
    // Who changes what is allowed is on record, whatever LOG_LEVEL is.
    this.#logger = onRecord(logger);
    this.#onEnd = onEnd;
  }

  /**
   * Allows what rules cover, for a time. A rule that is allowed already begins anew.
   * @param texts the rules as an operator writes them.
   * @param milliseconds how long.
   * @returns when they end.
   * @throws RuleError, TimedAllowError
   */
  allow(texts: readonly string[], milliseconds: number): Date {
    // The deny rules that would win over it are not known.
    if (this.#rules.policy.invalid) {
      throw new TimedAllowError(
        'the configuration is invalid, so nothing can be allowed; mend it ("whisper-proxy health" lists the faults), and reload',
      );
    }
    const until = Date.now() + milliseconds;
    const rules = texts.map((text) => parseRule(text, 'allow', TIMED_GROUP));
    const added = new Map(rules.map((rule) => [rule.label, { rule, until }]));
    const kept = this.#rules.timed.filter(({ rule }) => !added.has(rule.label));
    if (kept.length + added.size > MAX_RULES) {
      throw new TimedAllowError(
        `no more than ${MAX_RULES} rules can be allowed for a time; put them into the configuration`,
      );
    }
    this.#rules.setTimed([...kept, ...added.values()]);
    for (const timed of added.values()) this.#endLater(timed, milliseconds);
    const ends = new Date(until);
    this.#logger.warn(
      { event: 'timed_allow', rules: textsOf(added.values()), until: ends.toISOString() },
      'allowed for a time',
    );
    return ends;
  }

  /** Lets go of what would end later. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #endLater({ rule }: TimedRule, milliseconds: number): void {
    clearTimeout(this.#timers.get(rule.label));
    this.#timers.set(rule.label, setTimeout(() => this.#end(rule), milliseconds).unref());
  }

  #end(ended: Rule): void {
    this.#timers.delete(ended.label);
    this.#rules.setTimed(this.#rules.timed.filter(({ rule }) => rule !== ended));
    this.#logger.warn(
      { event: 'timed_allow_end', rules: textsOf([{ rule: ended }]), ...this.#onEnd() },
      'no longer allowed',
    );
  }
}

function textsOf(timed: Iterable<Pick<TimedRule, 'rule'>>): string[] {
  return [...timed].map(({ rule }) => textOf(rule.label));
}
