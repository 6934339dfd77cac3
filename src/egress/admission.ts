import type { Socket } from 'node:net';
import type { Answer } from '../http/answer.ts';
import {
  type DecisionLog,
  type DecisionRecord,
  newId,
  type Recorded,
} from '../log/decision-log.ts';
import type { Logger } from '../log/logger.ts';
import type { ClientList } from '../net/client-list.ts';
import { DialError, deadline, dialAny } from '../net/dial.ts';
import type { Resolve } from '../net/resolve.ts';
import {
  decideAddresses,
  decideTarget,
  type IsForbidden,
  type Policy,
  type Reason,
  type Verdict,
} from '../policy/decide.ts';
import { type Target, TargetError } from '../policy/target.ts';
import { answerTo } from './answer.ts';
import type { Attempt } from './attempt.ts';

/** What egress works with; the limits in milliseconds. */
export interface EgressOptions {
  policy: Policy;
  clients: ClientList;
  /** The proxy's own listeners; its clients are added here. */
  isForbidden: IsForbidden;
  resolve: Resolve;
  log: DecisionLog;
  logger: Logger;
  maxConnections: number;
  connectTimeout: number;
  idleTimeout: number;
}

/** What became of an attempt: a connection to the target, or an answer to the client. */
export type Admission =
  | { admitted: true; target: Target; socket: Socket; end: (error?: string) => void }
  | { admitted: false; answer: Answer };

/**
 * The one place where egress decides, dials and logs, for every way in:
 *
 *     read target ─▶ client? ─▶ decide ─▶ free slot? ─▶ resolve ─▶ decide addresses ─▶ dial ─▶ log
 *          └────────────┴─────────┴───────────┴───────────┴──────────────┴────────────┴──▶ log, answer
 */
export class Admissions {
  readonly #options: EgressOptions;
  #open = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /**
   * Admits an attempt, or says why not. Whoever gets a connection calls `end` when it is over, and
   * must do something with its socket before anything else happens.
   */
  async admit(attempt: Attempt): Promise<Admission> {
    const { clients, maxConnections } = this.#options;
    const progress = new Progress(attempt, this.#options.log);
    progress.readTarget();
    if (!(await clients.allows(attempt.client))) return progress.deny(denial('client_not_allowed'));
    const { target } = progress;
    if (target === null) return progress.deny(denial('bad_target'));
    const verdict = decideTarget(this.#options.policy, target, this.#isForbidden);
    if (verdict.decision === 'deny') return progress.deny(verdict);
    if (this.#open >= maxConnections) return progress.deny(denial('too_many_connections'));
    this.#open += 1;
    let admitted = false;
    try {
      const admission = await this.#connect(attempt, progress, target, verdict);
      admitted = admission.admitted;
      return admission;
    } finally {
      if (!admitted) this.#open -= 1;
    }
  }

  async #connect(
    attempt: Attempt,
    progress: Progress,
    target: Target,
    verdict: Verdict,
  ): Promise<Admission> {
    const { controller, clear } = deadline(this.#options.connectTimeout);
    const unsubscribe = attempt.onGone(() => controller.abort(new DialError('ECANCELED')));
    try {
      const addresses = await this.#resolve(target, controller.signal);
      if ('code' in addresses) {
        return progress.deny(denial('dns_error', verdict.rule), addresses.code);
      }
      const final = decideAddresses(
        this.#options.policy,
        verdict,
        addresses,
        target.port,
        this.#isForbidden,
      );
      if (final.decision === 'deny') return progress.deny(final);
      progress.address = addresses[0] ?? null;
      const { socket, address } = await dialAny(addresses, target.port, controller.signal);
      const recorded = progress.record(final, address);
      return { admitted: true, target, socket, end: this.#ender(recorded, socket) };
    } catch (error) {
      if (!(error instanceof DialError)) throw error;
      return progress.deny(denial('connect_failed', verdict.rule), error.code);
    } finally {
      clear();
      unsubscribe();
    }
  }

  async #resolve(target: Target, signal: AbortSignal): Promise<string[] | { code: string }> {
    if (target.kind === 'address') return [target.host];
    const aborted = new Promise<{ code: string }>((resolve) => {
      const abort = () => resolve({ code: (signal.reason as DialError).code });
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
    const answered = this.#options.resolve(target.host, signal).then(
      (addresses) => (addresses.length > 0 ? addresses : { code: 'ENODATA' }),
      (error: NodeJS.ErrnoException) => ({ code: error.code ?? 'UNKNOWN' }),
    );
    return Promise.race([answered, aborted]);
  }

  #isForbidden: IsForbidden = (address, port) =>
    this.#options.clients.includes(address) || this.#options.isForbidden(address, port);

  #ender(recorded: Recorded, socket: Socket): (error?: string) => void {
    const started = performance.now();
    let ended = false;
    return (error) => {
      if (ended) return;
      ended = true;
      this.#open -= 1;
      this.#options.log.end(recorded, {
        bytes_out: socket.bytesWritten,
        bytes_in: socket.bytesRead,
        duration_ms: Math.round(performance.now() - started),
        ...(error === undefined ? {} : { error }),
      });
    };
  }
}

function denial(reason: Reason, rule: string | null = null): Verdict {
  return { decision: 'deny', reason, rule };
}

/** What is known of an attempt so far, and its line in the log. */
class Progress {
  target: Target | null = null;
  /** The first of the checked addresses, for those that cannot be reached. */
  address: string | null = null;
  readonly #attempt: Attempt;
  readonly #log: DecisionLog;
  #fault: string | undefined;

  constructor(attempt: Attempt, log: DecisionLog) {
    this.#attempt = attempt;
    this.#log = log;
  }

  readTarget(): void {
    try {
      this.target = this.#attempt.parse();
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      this.#fault = error.message;
    }
  }

  record(verdict: Verdict, address: string | null, error?: string): Recorded {
    const { via, method, text, client } = this.#attempt;
    const { decision, reason, rule } = verdict;
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
      ...(error === undefined ? {} : { error }),
    };
    return this.#log.decide(record);
  }

  deny(verdict: Verdict, error?: string): Admission {
    this.record(verdict, verdict.address ?? this.address, error);
    return { admitted: false, answer: answerTo(verdict, this.target, error ?? this.#fault) };
  }
}
