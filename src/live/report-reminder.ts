import type { Logger } from '../log/logger.ts';
import type { RulesInForce } from './rules-in-force.ts';

const EVERY_MS = 600_000;

export const REPORT_WARNING = 'EGRESS_MODE=report: what no allow rule covers is let through';

/** Warns in the log that report mode is on: whisper is open meanwhile, and nobody may forget it. */
export class ReportReminder {
  readonly #rules: RulesInForce;
  readonly #logger: Logger;
  readonly #timer = setInterval(() => this.remind(), EVERY_MS).unref();

  constructor(rules: RulesInForce, logger: Logger) {
    this.#rules = rules;
    this.#logger = logger;
  }

  /** Warns at once, if there is reason to. */
  remind(): void {
    if (this.#rules.policy.mode === 'report') this.#logger.warn(REPORT_WARNING);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
