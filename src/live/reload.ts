import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/faults.ts';
import type { Admissions } from '../egress/admission.ts';
import { crowdLimits } from '../egress/crowd.ts';
import type { DecisionLog } from '../log/decision-log.ts';
import type { IngressLog } from '../log/ingress-log.ts';
import { logLists } from '../log/lists.ts';
import { type Logger, onRecord } from '../log/logger.ts';
import type { CrowdLimits } from '../net/crowd.ts';
import type { RulesInForce } from './rules-in-force.ts';

/** What a reload works on. */
export interface ReloadParts {
  rules: RulesInForce;
  admissions: Admissions;
  /** Of all listeners. */
  limits: CrowdLimits;
  log: DecisionLog;
  ingressLog: IngressLog;
  logger: Logger;
}

/** How the configuration stands, for health. */
export interface ConfigState {
  hash: string;
  /** When it was read; ISO 8601. */
  loaded: string;
  /** What is wrong with the configuration that was read last; empty if nothing is. */
  faults: string[];
  /** These were there at the start already, so there are no rules: egress denies everything. */
  denies_all: boolean;
}

/** What a reload has done. */
export interface Reloaded {
  /** The hash that is in force now, and the one before. */
  config: string;
  previous: string;
  /** The file that it was read from, or null. */
  file: string | null;
  mode: 'enforce' | 'report';
  /** The rules that have come and gone, each with its list in front. */
  added: string[];
  removed: string[];
  /** Other variables that have changed, and are in force. */
  changed: string[];
  /** Variables that have changed since the start, but are read at a start alone. */
  next_start: string[];
  /** Open connections that the rules deny now, and how many of them were ended. */
  open_denied_now: number;
  open_ended: number;
}

/** Why a reload has changed nothing. */
export interface NotReloaded {
  /** The hash that stays in force. */
  config: string;
  /** Every fault, as a sentence. */
  faults: string[];
  /** There is no previous configuration: egress goes on denying everything. */
  denies_all: boolean;
}

export const INVALID_WARNING =
  'the configuration is invalid, so egress denies everything; mend it, then: podman exec whisper-proxy whisper-proxy reload';

/** Read at the start alone, and rules that come into force without them would allow more than was meant. */
const NARROWING = ['EGRESS_CLIENTS', 'EGRESS_REQUIRE_SNI'];

/**
 * Puts another configuration into force while the program runs: its rules, mode, limits and log. A
 * faulty one changes nothing.
 */
export class Reload {
  readonly #parts: ReloadParts;
  /** Changes are on record, whatever LOG_LEVEL is. */
  readonly #record: Logger;
  /** The one that the program was started with, for what only a start reads. */
  readonly #started: Config;
  #config: Config;
  #loaded = new Date();
  #faults: string[];

  /** @param invalid the faults that it was started in spite of. */
  constructor(config: Config, invalid: ConfigError | null, parts: ReloadParts) {
    this.#started = config;
    this.#config = config;
    this.#faults = invalid?.messages ?? [];
    this.#parts = parts;
    this.#record = onRecord(parts.logger);
  }

  get state(): ConfigState {
    const { hash, policy } = this.#parts.rules;
    return {
      hash,
      loaded: this.#loaded.toISOString(),
      faults: this.#faults,
      denies_all: policy.invalid === true,
    };
  }

  /** Logs the faults that it was started in spite of, if there are any. */
  tellInvalid(): void {
    if (this.#faults.length === 0) return;
    const parts = {
      tie: { event: 'invalid_config', config: this.#parts.rules.hash },
      fields: { config_file: this.#config.file },
      lists: { faults: this.#faults },
    };
    logLists(this.#record, 'error', parts, INVALID_WARNING);
  }

  /**
   * Applies a configuration, and tells in the log what has changed by it.
   * @throws ConfigError if only a start can apply it.
   */
  apply(config: Config): Reloaded {
    const { rules, admissions, limits, log, ingressLog, logger } = this.#parts;
    const before = this.#config;
    const previous = rules.hash;
    if (rules.policy.invalid) requireSame(before, config);
    this.#config = config;
    this.#loaded = new Date();
    this.#faults = [];
    logger.level = config.log.level;
    log.logAllowed = config.log.allowed;
    ingressLog.logRequests = config.log.requests;
    admissions.maxConnections = config.egress.maxConnections;
    Object.assign(limits, crowdLimits(config.egress.maxConnections));
    rules.replace(config.egress.policy);
    const { mode, allow, deny } = config.egress.policy;
    const changes = {
      ...difference(labelsOf(before), labelsOf(config)),
      changed: changedNames(before.settings, config.settings),
    };
    const open = this.reconsider();
    const parts = {
      tie: { event: 'reload', config: rules.hash },
      fields: { config_file: config.file, mode, ...open },
      lists: {
        allow: allow.map(({ label }) => label),
        deny: deny.map(({ label }) => label),
        ...changes,
      },
    };
    logLists(this.#record, 'info', parts, 'another configuration is in force');
    const late = changedNames(this.#started.fixed, config.fixed);
    if (late.length > 0) {
      logger.warn({ variables: late }, `these take effect at the next start: ${late.join(', ')}`);
    }
    const { hash } = rules;
    return {
      config: hash,
      previous,
      file: config.file,
      mode,
      ...changes,
      next_start: late,
      ...open,
    };
  }

  /** Leaves the configuration as it is, and tells why. */
  reject({ messages: faults }: ConfigError): NotReloaded {
    const { hash, policy } = this.#parts.rules;
    const denies_all = policy.invalid === true;
    this.#faults = faults;
    logLists(
      this.#record,
      'error',
      { tie: { event: 'reload', config: hash }, fields: {}, lists: { faults } },
      denies_all
        ? 'the configuration is still invalid, so egress goes on denying everything'
        : 'the configuration has faults, so the one before stays in force',
    );
    return { config: hash, faults, denies_all };
  }

  /**
   * Looks at the open connections again, after the rules have changed: those that they would deny now
   * stay, or end, as EGRESS_ON_RELOAD has it.
   */
  reconsider(): { open_denied_now: number; open_ended: number } {
    const denied = this.#parts.admissions.deniedNow();
    const ends = this.#config.egress.onReload === 'end';
    for (const { passage, verdict } of ends ? denied : []) {
      passage.cut(verdict, this.#parts.rules.hash);
    }
    return { open_denied_now: denied.length, open_ended: ends ? denied.length : 0 };
  }
}

/** After a start in spite of faults: what that start could not read, or did not have, must not be missing once there are rules. */
function requireSame(before: Config, after: Config): void {
  const faults = changedNames(before.fixed, after.fixed)
    .filter((name) => NARROWING.includes(name))
    .map((name) => ({
      name,
      line: null,
      value: after.fixed[name] ?? null,
      message:
        'it is read at a start alone, and the start, which had faults, did not have it; restart whisper-proxy (systemctl --user restart whisper-proxy)',
    }));
  if (faults.length > 0) throw new ConfigError(faults, after.file);
}

function labelsOf({ egress: { policy } }: Config): string[] {
  return [
    ...policy.allow.map(({ label }) => `allow ${label}`),
    ...policy.deny.map(({ label }) => `deny ${label}`),
  ];
}

function difference(before: string[], after: string[]): { added: string[]; removed: string[] } {
  const [old, now] = [new Set(before), new Set(after)];
  return {
    added: after.filter((label) => !old.has(label)),
    removed: before.filter((label) => !now.has(label)),
  };
}

function changedNames(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => before[name] !== after[name]).sort();
}
