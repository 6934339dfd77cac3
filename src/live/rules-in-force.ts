import { createHash } from 'node:crypto';
import type { Policy } from '../policy/decide.ts';
import type { Rule } from '../policy/rules.ts';

/** A rule that ends by itself. */
export interface TimedRule {
  rule: Rule;
  /** Milliseconds since 1970, as Date.now() has them. */
  until: number;
  /** The same by performance.now(), which nobody can set back, but which stands still while the machine sleeps. */
  deadline: number;
}

/** Whether the time of a rule is over, by either clock. */
export function isOver({ until, deadline }: TimedRule): boolean {
  return Date.now() >= until || performance.now() >= deadline;
}

/** The rules that decisions are made by: those of the configuration, and those that are allowed for a time. */
export class RulesInForce {
  #configured: Policy;
  #timed: readonly TimedRule[] = [];
  #policy: Policy;
  #hash: string;

  constructor(configured: Policy) {
    this.#configured = configured;
    this.#policy = configured;
    this.#hash = hashOf(configured);
  }

  get policy(): Policy {
    this.#dropOver();
    return this.#policy;
  }

  /** Eight hexadecimal digits that stand for the configured rules, mode and limits on uploads, in the lines of decisions. */
  get hash(): string {
    return this.#hash;
  }

  /** The rules that are allowed for a time, in the order in which they came. */
  get timed(): readonly TimedRule[] {
    this.#dropOver();
    return this.#timed;
  }

  /** Puts other rules into force; those that are allowed for a time stay. */
  replace(configured: Policy): void {
    this.#configured = configured;
    this.#hash = hashOf(configured);
    this.#combine();
  }

  /** Sets what is allowed for a time beside the configured rules. */
  setTimed(timed: readonly TimedRule[]): void {
    this.#timed = timed;
    this.#combine();
  }

  /** At every use: timers stand still while the machine sleeps. */
  #dropOver(): void {
    if (this.#timed.some(isOver)) this.setTimed(this.#timed.filter((timed) => !isOver(timed)));
  }

  #combine(): void {
    const allow = [...this.#configured.allow, ...this.#timed.map(({ rule }) => rule)];
    this.#policy = { ...this.#configured, allow };
  }
}

function hashOf({ allow, deny, mode, maxUpload, invalid }: Policy): string {
  const labels = (rules: readonly Rule[]) => rules.map(({ label }) => label);
  const parts = [labels(allow), labels(deny), mode, maxUpload];
  // Not that of an empty configuration: the line of the log that has it lists the faults.
  const text = JSON.stringify(invalid ? [...parts, 'invalid'] : parts);
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
