import type { Socket } from 'node:net';
import type { Answer } from '../http/answer.ts';
import type { DecisionLog, DecisionRecord, EndTotals, Recorded } from '../log/decision-log.ts';
import { reset } from '../net/reset.ts';
import type { Reason, Verdict } from '../policy/decide.ts';
import type { Target } from '../policy/target.ts';
import { answerTo } from './answer.ts';

/** What a passage is made of. */
export interface PassageParts {
  target: Target;
  socket: Socket;
  verdict: Verdict;
  recorded: Recorded;
  log: DecisionLog;
  /** The address that it goes to. */
  address: string;
  /** Called once, when it is over. */
  onEnd: (passage: Passage) => void;
}

/** What the log tells of a revocation beside its reason. */
export type RevokeDetails = Partial<Pick<DecisionRecord, 'error' | 'sni' | 'rule' | 'config'>>;

/**
 * A connection that was let through. Whoever gets one calls `end` when it is over, and must do
 * something with its socket before anything else happens.
 */
export class Passage {
  readonly admitted = true;
  readonly target: Target;
  readonly socket: Socket;
  readonly address: string;
  /** Bytes that the client may send; null: any number. */
  readonly maxUpload: number | null;
  readonly #parts: PassageParts;
  readonly #started = performance.now();
  #ech: boolean;
  /** Why it was taken back, and what the client is told of that. */
  #revoked: { reason: Reason; answer: Answer } | null = null;
  readonly #onCut: (() => void)[] = [];
  #ended = false;

  constructor(parts: PassageParts) {
    this.target = parts.target;
    this.socket = parts.socket;
    this.address = parts.address;
    this.maxUpload = parts.verdict.maxUpload ?? null;
    this.#ech = parts.recorded.record.ech ?? false;
    this.#parts = parts;
    parts.log.open(parts.recorded, () => this.#totals());
  }

  /** Notes that its ClientHello has Encrypted Client Hello, for the log. */
  noteEch(): void {
    this.#ech = true;
  }

  /**
   * Takes the admission back: logged as a denial of its own, with the same id and what has gone
   * through so far. Once is enough: after that nothing is logged any more.
   * @param details for the log: the error's code, the server name that was sent, what the rules in force say.
   * @returns what the client is told, where it still can be.
   */
  revoke(reason: Reason, details: RevokeDetails = {}): Answer {
    if (this.#revoked) return this.#revoked.answer;
    const { target, verdict, recorded, log } = this.#parts;
    const { rule = verdict.rule } = details;
    const denial: Verdict = { decision: 'deny', reason, rule };
    log.decide({ ...recorded.record, ...details, ...denial }, this.#totals());
    const answer = answerTo(denial, target, details.error);
    this.#revoked = { reason, answer };
    return answer;
  }

  /** What the client is to be told since the admission was taken back; null: it was not. */
  get revoked(): Answer | null {
    return this.#revoked?.answer ?? null;
  }

  /**
   * Takes the admission back since the rules in force deny it by now, and ends the connection.
   * @param verdict theirs.
   * @param config their hash.
   */
  cut({ reason, rule }: Verdict, config: string): void {
    if (this.#revoked || this.#ended) return;
    this.revoke(reason ?? 'not_allowed', { rule, config });
    reset(this.socket);
    for (const callback of this.#onCut) callback();
  }

  /** Calls back when it is cut: whoever has the client's connection ends that as well. */
  onCut(callback: () => void): void {
    this.#onCut.push(callback);
  }

  /** Logs its end. @param broken why it ended, if not in good order; that it was taken back is why. */
  end(broken?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const error = this.#revoked?.reason ?? broken;
    this.#parts.onEnd(this);
    this.#parts.log.end(this.#parts.recorded, {
      ...this.#totals(),
      ...(error === undefined ? {} : { error }),
    });
  }

  #totals(): EndTotals {
    return {
      bytes_out: this.socket.bytesWritten,
      bytes_in: this.socket.bytesRead,
      duration_ms: Math.round(performance.now() - this.#started),
      ...(this.#ech ? { ech: true } : {}),
    };
  }
}
