import type { Lookup } from '../dns/lookups.ts';
import type { Answer } from '../http/answer.ts';
import type { RulesInForce } from '../live/rules-in-force.ts';
import { type DecisionLog, newId, type Via } from '../log/decision-log.ts';
import type { ClientCheck, ClientList } from '../net/client-list.ts';
import { DialError, deadline, dialAny } from '../net/dial.ts';
import type { Resolve } from '../net/resolve.ts';
import {
  decide,
  decideLookup,
  decideTarget,
  type IsForbidden,
  type Reason,
  type Verdict,
} from '../policy/decide.ts';
import { type Host, parseHost } from '../policy/host.ts';
import { needsServerName, type Target } from '../policy/target.ts';
import { answerTo } from './answer.ts';
import type { Attempt } from './attempt.ts';
import { unheard } from './crowd.ts';
import { Passage } from './passage.ts';
import { Progress, type Refusal } from './progress.ts';

/** What egress decides and dials with; times in milliseconds. */
export interface AdmissionOptions {
  rules: RulesInForce;
  clients: ClientList;
  /** The proxy's own listeners; its clients are added here. */
  isForbidden: IsForbidden;
  resolve: Resolve;
  log: DecisionLog;
  maxConnections: number;
  connectTimeout: number;
  /** Port 443 of a name carries TLS alone. */
  requireSni: boolean;
}

/** What became of an attempt: a connection to the target, or an answer to the client. */
export type Admission = Passage | Refusal;

/**
 * The one place where egress decides, dials and logs, for every way in:
 *
 *     read target ─▶ client? ─▶ decide ─▶ free slot? ─▶ resolve ─▶ decide addresses ─▶ dial ─▶ log
 *          └────────────┴─────────┴───────────┴───────────┴──────────────┴────────────┴──▶ log, answer
 */
export class Admissions {
  readonly #options: AdmissionOptions;
  readonly #passages = new Set<Passage>();
  #maxConnections: number;
  /** Passages, and what is about to become one. */
  #open = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#maxConnections = options.maxConnections;
  }

  /** Sets how many connections may be open at once; those that are stay. */
  set maxConnections(limit: number) {
    this.#maxConnections = limit;
  }

  /** The open connections that the rules now in force would deny, each with the verdict. */
  deniedNow(): { passage: Passage; verdict: Verdict }[] {
    return [...this.#passages].flatMap((passage) => {
      if (passage.revoked) return [];
      const verdict = this.#judge(passage.target, [passage.address]);
      return verdict.decision === 'deny' ? [{ passage, verdict }] : [];
    });
  }

  /** Admits an attempt, or says why not. */
  async admit(attempt: Attempt): Promise<Admission> {
    const { clients } = this.#options;
    const progress = new Progress(attempt, this.#options.log, this.#options.rules);
    progress.readTarget();
    const check = await clients.check(attempt.client);
    if (!check.allowed) return progress.deny(denial('client_not_allowed'), errorOf(check));
    // None of them must be reached, whatever address it has by now.
    await clients.refresh();
    const { target, fault } = progress;
    if (target === null) return progress.deny(denial(fault?.reason ?? 'bad_target'), fault?.error);
    progress.config = this.#options.rules.hash;
    const verdict = decideTarget(this.#options.rules.policy, target, this.isForbidden);
    if (verdict.decision === 'deny') return progress.deny(verdict);
    const isPlain = attempt.via === 'http' || attempt.via === 'transparent_http';
    if (isPlain && this.#options.requireSni && needsServerName(target)) {
      return progress.deny(denial('no_sni', verdict.rule), 'not_tls');
    }
    if (this.#open >= this.#maxConnections) return progress.deny(denial('too_many_connections'));
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

  /**
   * Decides about a look-up: nothing is looked up for it, and nothing dialled. The names that the
   * proxy answers for itself are no matter of the rules, nor of the log.
   */
  async admitLookup({ name, type, client, own, fault }: Lookup): Promise<Verdict> {
    const host = parseHost(name);
    const check = await this.#options.clients.check(client);
    const verdict = check.allowed
      ? this.#decideLookup(fault === null ? host : null, own)
      : denial('client_not_allowed');
    const error = errorOf(check) ?? fault;
    if (own && verdict.decision === 'allow') return verdict;
    this.#options.log.decide({
      event: 'egress',
      decision: verdict.decision,
      reason: verdict.reason,
      rule: verdict.rule,
      via: 'dns',
      method: type || null,
      host: host?.host ?? (name || null),
      port: null,
      address: null,
      client,
      id: newId(),
      ...(error === null ? {} : { error }),
      config: this.#options.rules.hash,
    });
    return verdict;
  }

  #decideLookup(host: Host | null, own: boolean): Verdict {
    if (own) return { decision: 'allow', reason: null, rule: null };
    return host?.kind === 'name'
      ? decideLookup(this.#options.rules.policy, host.host)
      : denial('bad_target');
  }

  /**
   * Whether an address may use egress at all; that it may not is logged. For connections on which it
   * would have to be waited for what comes.
   */
  async admitClient(via: Via, client: string | null): Promise<boolean> {
    const check = await this.#options.clients.check(client);
    if (!check.allowed) this.refuseClient(via, client, check);
    return check.allowed;
  }

  /** Logs that an address may not use egress, before anything it says is read. @returns what it is told. */
  refuseClient(via: Via, client: string | null, check: ClientCheck): Answer {
    const error = errorOf(check);
    const denied = unheard('client_not_allowed', via, client, error);
    this.#options.log.decide({ ...denied, config: this.#options.rules.hash });
    return answerTo(denial('client_not_allowed'), null, error);
  }

  async #connect(
    attempt: Attempt,
    progress: Progress,
    target: Target,
    verdict: Verdict,
  ): Promise<Admission> {
    const { controller, clear } = deadline(this.#options.connectTimeout);
    const unsubscribe = attempt.onGone(() => controller.abort(new DialError('ECANCELED')));
    let final = verdict;
    const judge = (addresses: string[]) => {
      progress.config = this.#options.rules.hash;
      final = this.#judge(target, addresses);
      return final.decision === 'deny';
    };
    try {
      const addresses = await this.#resolve(target, controller.signal);
      if ('code' in addresses) {
        return progress.deny(denial('dns_error', verdict.rule), addresses.code);
      }
      if (judge(addresses)) return progress.deny(final);
      progress.address = addresses[0] ?? null;
      const { socket, address } = await dialAny(addresses, target.port, controller.signal);
      // The rules may have changed since.
      if (judge(addresses)) {
        socket.destroy();
        return progress.deny(final);
      }
      const passage = new Passage({
        address,
        target,
        socket,
        verdict: final,
        recorded: progress.record(final, address),
        log: this.#options.log,
        onEnd: (ended) => {
          this.#passages.delete(ended);
          this.#open -= 1;
        },
      });
      this.#passages.add(passage);
      return passage;
    } catch (error) {
      if (!(error instanceof DialError)) throw error;
      return progress.deny(denial('connect_failed', final.rule), error.code);
    } finally {
      clear();
      unsubscribe();
    }
  }

  /** The whole decision about a target with the addresses that it has, by the rules now in force. */
  #judge(target: Target, addresses: readonly string[]): Verdict {
    return decide(this.#options.rules.policy, target, addresses, this.isForbidden);
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

  /** Whether an address and port may never be reached: the proxy's listeners and its clients. */
  readonly isForbidden: IsForbidden = (address, port) =>
    this.#options.clients.mayInclude(address) || this.#options.isForbidden(address, port);
}

/** The error that may be why a client was not recognised. */
function errorOf(check: ClientCheck): string | undefined {
  return check.allowed ? undefined : check.unresolved?.error;
}

function denial(reason: Reason, rule: string | null = null): Verdict {
  return { decision: 'deny', reason, rule };
}
