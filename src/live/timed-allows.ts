import { logLists } from '../log/lists.ts';
import { type Logger, onRecord } from '../log/logger.ts';
import { deadline } from '../net/dial.ts';
import type { Resolve } from '../net/resolve.ts';
import { groupLimit, type IsForbidden, type Policy } from '../policy/decide.ts';
import { foresee, type LookedUp, type Outlook, targetOf } from '../policy/outlook.ts';
import { textOf } from '../policy/remedy.ts';
import { parseRule, type Rule, ruleKey } from '../policy/rules.ts';
import { isOver, type RulesInForce, type TimedRule } from './rules-in-force.ts';

/** The group of rules that are allowed for a time; no variable can make it, since theirs are in upper case. */
export const TIMED_GROUP = 'timed';
/** More than anybody adds by hand. */
export const MAX_RULES = 100;
const LOOKUP_TIMEOUT_MS = 3_000;
/** How late the end is noticed at most, where nothing asks for the rules: a timer stands still while the machine sleeps. */
const CHECK_MS = 1_000;

/** Why nothing can be allowed for a time, or ended; the message is a sentence with the remedy. */
export class TimedAllowError extends Error {
  readonly code = 'CANNOT_ALLOW';
}

/** What rules that are allowed for a time depend on. */
export interface TimedAllowParts {
  rules: RulesInForce;
  logger: Logger;
  resolve: Resolve;
  isForbidden: IsForbidden;
  /** Called when rules have ended, and no longer count; what it gives is logged. */
  onEnd: () => object;
}

/** How much may be sent to what is allowed; without either, as much as EGRESS_MAX_UPLOAD lets through. */
export interface Limits {
  /** As much as the rules of this group let through now. */
  group?: string | undefined;
  /** Bytes on one connection. */
  maxUpload?: number | undefined;
}

/** What has become of one rule. */
export interface Allowed extends Outlook {
  rule: string;
}

/** Rules that are allowed for a time, beside those of the configuration; none of them outlives the program. */
export class TimedAllows {
  readonly #parts: TimedAllowParts;
  readonly #logger: Logger;
  /** By the key of their rule, those included whose end has not been noticed yet. */
  readonly #timed = new Map<string, TimedRule>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: TimedAllowParts) {
    this.#parts = parts;
    // Who changes what is allowed is on record, whatever LOG_LEVEL is.
    this.#logger = onRecord(parts.logger);
  }

  /**
   * Allows what rules cover, for a time. A rule that is allowed already begins anew. One that would
   * stay denied all the same is not taken.
   * @param texts the rules as an operator writes them.
   * @param milliseconds how long.
   * @returns when they end, and what becomes of each.
   * @throws RuleError, TimedAllowError
   */
  async allow(
    texts: readonly string[],
    milliseconds: number,
    limits: Limits = {},
  ): Promise<{ until: Date; rules: Allowed[] }> {
    const parsed = texts.map((text) => parseRule(text, 'allow', TIMED_GROUP));
    const rules = [...new Map(parsed.map((rule) => [ruleKey(rule), rule])).values()];
    this.#checkValid();
    const lookedUp = await Promise.all(rules.map((rule) => this.#lookUp(rule)));
    // The configuration may be another one by now.
    this.#checkValid();
    const maxUpload = this.#limit(limits);
    const limited = rules.map((rule) => (maxUpload === null ? rule : { ...rule, maxUpload }));
    const policy = this.#policyWith(limited);
    const allowed = limited.map((rule, index) => ({
      rule: textOf(rule.label),
      ...foresee(policy, rule, lookedUp[index] ?? null, this.#parts.isForbidden),
    }));
    const taken = limited.filter((_, index) => allowed[index]?.allowed);
    return { until: this.#put(taken, milliseconds), rules: allowed };
  }

  /** What is allowed for a time now, in the order in which it came. */
  list(): { rule: string; until: string; maxUpload: number | null }[] {
    const { policy, timed } = this.#parts.rules;
    return timed.map(({ rule, until }) => ({
      rule: textOf(rule.label),
      until: new Date(until).toISOString(),
      maxUpload: rule.maxUpload ?? policy.maxUpload.default,
    }));
  }

  /**
   * Ends rules before their time.
   * @param texts the rules, however they are written; none: all of them.
   * @returns those that have ended.
   * @throws RuleError, TimedAllowError if one is not allowed for a time: then nothing is ended.
   */
  end(texts: readonly string[]): string[] {
    this.#sweep();
    const keys = texts.map((text) => ruleKey(parseRule(text, 'allow', TIMED_GROUP)));
    const unknown = texts.filter((_, index) => !this.#timed.has(keys[index] ?? ''));
    if (unknown.length > 0) {
      const there = this.list().map(({ rule }) => rule);
      const which = there.length === 0 ? 'nothing is' : `these are: ${there.join(' ')}`;
      throw new TimedAllowError(`${unknown.join(' ')}: not allowed for a time; ${which}`);
    }
    return this.#remove(texts.length > 0 ? keys : [...this.#timed.keys()], { early: true });
  }

  /** Lets go of what would end later. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #checkValid(): void {
    if (!this.#parts.rules.policy.invalid) return;
    // The deny rules that would win over it are not known.
    throw new TimedAllowError(
      'the configuration is invalid, so nothing can be allowed; mend it ("whisper-proxy health" lists the faults), and reload',
    );
  }

  async #lookUp(rule: Rule): Promise<LookedUp | null> {
    const target = targetOf(rule);
    if (target?.kind !== 'name') return null;
    const { controller, clear } = deadline(LOOKUP_TIMEOUT_MS);
    const { signal } = controller;
    const late = new Promise<LookedUp>((resolve) => {
      signal.addEventListener('abort', () => resolve({ code: 'ETIMEDOUT' }), { once: true });
    });
    const answer = this.#parts.resolve(target.host, signal).then(
      (addresses) => (addresses.length > 0 ? { addresses } : { code: 'ENODATA' }),
      (error: NodeJS.ErrnoException) => ({ code: error.code ?? 'UNKNOWN' }),
    );
    return Promise.race([answer, late]).finally(clear);
  }

  /** The smaller one of the limits that were asked for; null: none was. @throws TimedAllowError */
  #limit({ group, maxUpload }: Limits): number | null {
    const { policy } = this.#parts.rules;
    const given = maxUpload === undefined ? [] : [maxUpload];
    if (group === undefined) return given[0] ?? null;
    const ofGroup = isGroup(policy, group) ? groupLimit(policy, group) : null;
    if (ofGroup === null) {
      const variable = `EGRESS_MAX_UPLOAD_${group}`;
      throw new TimedAllowError(
        `the group ${group} has no limit on uploads in the configuration in force; set ${variable} there, or give --max-upload`,
      );
    }
    return Math.min(ofGroup, ...given);
  }

  #policyWith(rules: readonly Rule[]): Policy {
    const { policy } = this.#parts.rules;
    const keys = new Set(rules.map(ruleKey));
    const others = policy.allow.filter(
      (rule) => rule.group !== TIMED_GROUP || !keys.has(ruleKey(rule)),
    );
    return { ...policy, allow: [...others, ...rules] };
  }

  /** @returns when they end. @throws TimedAllowError */
  #put(rules: readonly Rule[], milliseconds: number): Date {
    this.#sweep();
    const until = Date.now() + milliseconds;
    const ends = new Date(until);
    const added = rules.map((rule) => [ruleKey(rule), rule] as const);
    const isNew = added.filter(([key]) => !this.#timed.has(key));
    if (this.#timed.size + isNew.length > MAX_RULES) {
      throw new TimedAllowError(
        `no more than ${MAX_RULES} rules can be allowed for a time; put them into the configuration`,
      );
    }
    if (rules.length === 0) return ends;
    for (const [key, rule] of added) {
      this.#timed.delete(key);
      this.#timed.set(key, { rule, until, deadline: performance.now() + milliseconds });
    }
    this.#apply();
    const limit = rules[0]?.maxUpload;
    const parts = {
      tie: { event: 'timed_allow' },
      fields: {
        until: ends.toISOString(),
        ...(limit === undefined ? {} : { max_upload: limit }),
      },
      lists: { rules: rules.map(({ label }) => textOf(label)) },
    };
    logLists(this.#logger, 'warn', parts, 'allowed for a time');
    return ends;
  }

  #sweep(): void {
    const over = [...this.#timed].filter(([, timed]) => isOver(timed)).map(([key]) => key);
    if (over.length > 0) this.#remove(over, {});
    else this.#schedule();
  }

  /** @returns the rules that have ended. */
  #remove(keys: readonly string[], about: object): string[] {
    const ended = keys.flatMap((key) => this.#timed.get(key) ?? []);
    for (const key of keys) this.#timed.delete(key);
    this.#apply();
    const rules = ended.map(({ rule }) => textOf(rule.label));
    if (rules.length === 0) return rules;
    const fields = { ...about, ...this.#parts.onEnd() };
    const parts = { tie: { event: 'timed_allow_end' }, fields, lists: { rules } };
    logLists(this.#logger, 'warn', parts, 'no longer allowed');
    return rules;
  }

  #apply(): void {
    this.#parts.rules.setTimed([...this.#timed.values()]);
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#timed.size === 0) return;
    const left = [...this.#timed.values()].map(({ deadline }) => deadline - performance.now());
    const wait = Math.max(1, Math.min(CHECK_MS, ...left));
    this.#timer = setTimeout(() => this.#sweep(), wait).unref();
  }
}

function isGroup({ allow, maxUpload }: Policy, group: string): boolean {
  return Object.hasOwn(maxUpload.groups, group) || allow.some((rule) => rule.group === group);
}
