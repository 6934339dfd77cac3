import type { Answer } from '../http/answer.ts';
import type { RulesInForce } from '../live/rules-in-force.ts';
import {
  type DecisionLog,
  type DecisionRecord,
  newId,
  type Recorded,
} from '../log/decision-log.ts';
import type { Reason, Verdict } from '../policy/decide.ts';
import { type Target, TargetError } from '../policy/target.ts';
import { answerTo } from './answer.ts';
import type { Attempt } from './attempt.ts';

/** An attempt that got nowhere, and what the client is told. */
export interface Refusal {
  admitted: false;
  reason: Reason;
  answer: Answer;
}

/** What is known of an attempt so far, and its line in the log. */
export class Progress {
  target: Target | null = null;
  /** The first of the checked addresses, for those that cannot be reached. */
  address: string | null = null;
  /** What is wrong with the target, where it could not be read. */
  fault: TargetError | null = null;
  /** Which rules it was last judged by. */
  config: string;
  readonly #attempt: Attempt;
  readonly #log: DecisionLog;

  constructor(attempt: Attempt, log: DecisionLog, rules: RulesInForce) {
    this.#attempt = attempt;
    this.#log = log;
    this.config = rules.hash;
  }

  readTarget(): void {
    try {
      this.target = this.#attempt.parse();
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      this.fault = error;
    }
  }

  record(verdict: Verdict, address: string | null, error?: string): Recorded {
    const { via, method, text, client, ech, verify } = this.#attempt;
    const { decision, reason, rule, final } = verdict;
    const record: DecisionRecord = {
      event: 'egress',
      decision,
      reason,
      rule,
      via,
      method,
      host: this.target?.host ?? text,
      port: this.target?.port ?? null,
      address,
      client,
      id: newId(),
      config: this.config,
      ...(error === undefined ? {} : { error }),
      ...(final ? { final } : {}),
      ...(ech ? { ech } : {}),
      ...(verify ? { verify } : {}),
    };
    return this.#log.decide(record);
  }

  deny(verdict: Verdict, error?: string): Refusal {
    this.record(verdict, verdict.address ?? this.address, error);
    const reason = verdict.reason ?? 'bad_target';
    return {
      admitted: false,
      reason,
      answer: answerTo(verdict, this.target, error, this.fault?.message),
    };
  }
}
