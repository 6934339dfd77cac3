import { randomBytes } from 'node:crypto';
import type { Decision, Reason } from '../policy/decide.ts';
import { LineBudget } from './line-budget.ts';
import { type Logger, onRecord } from './logger.ts';
import { printable } from './printable.ts';

export const VIAS = ['connect', 'http', 'tls', 'transparent_http', 'dns'] as const;

export type Via = (typeof VIAS)[number];

/** A decision, as the log shows it. */
export interface DecisionRecord {
  event: 'egress' | 'ingress';
  decision: Decision;
  reason: Reason | null;
  rule: string | null;
  via: Via;
  method: string | null;
  /** The canonical host; for a target that could not be read, what was sent instead of one. */
  host: string | null;
  port: number | null;
  address: string | null;
  client: string | null;
  id: string;
  /** Which rules were in force: see `RulesInForce`. */
  config?: string;
  /** The error's code, where one is behind the reason. */
  error?: string;
  /** Where the address is the reason: true if no rule could open it. */
  final?: boolean;
  /** The server name that a ClientHello gave, where it was not the target's. */
  sni?: string;
  /** A ClientHello with Encrypted Client Hello: the name that counts is the outer one. */
  ech?: true;
  /** The request says that `whisper-proxy verify` made it, as any request can. */
  verify?: true;
}

/** What a connection has carried when it ends. */
export interface EndTotals {
  /** Bytes sent to the target. */
  bytes_out: number;
  /** Bytes received from it. */
  bytes_in: number;
  duration_ms: number;
  /** Why it ended, if not in good order. */
  error?: string;
  /** As in the decision. */
  ech?: true;
}

/** A decision that was recorded; to be handed back when its connection ends. */
export interface Recorded {
  record: DecisionRecord;
  /** Where it went: a line of its own, the count of its repeats, the count by reason, nowhere. */
  place: 'line' | 'repeat' | 'overflow' | 'hidden';
}

/** What lines of this log have, as far as their budget depends on it. */
interface LineFields {
  event: string;
  reason?: Reason | null;
  via?: Via | null;
}

/** Whoever wants to know of every decision and every end, none folded and none left out. */
export interface DecisionObserver {
  /** @param totals what the connection has carried, where it was let through before. */
  decided(record: DecisionRecord, totals: EndTotals | null): void;
  /** @param totals tells what the connection has carried so far. */
  opened?(record: DecisionRecord, totals: () => EndTotals): void;
  ended?(record: DecisionRecord, totals: EndTotals): void;
}

interface Fold {
  fields: LineFields;
  level: 'info' | 'warn';
  repeated: number;
  totals: EndTotals | null;
}

/** An id that ties the lines of one decision together. */
export function newId(): string {
  return randomBytes(6).toString('hex');
}

const WINDOW_MS = 10_000;
/** Lines a second. Apart, so that neither strangers nor mere look-ups can hide what whisper tries. */
const EGRESS_LINES = 200;
const LOOKUP_LINES = 50;
const STRANGER_LINES = 20;
const INGRESS_LINES = 20;
const LAST_ENDS_MS = 1_000;
const NOTHING: EndTotals = { bytes_out: 0, bytes_in: 0, duration_ms: 0 };

/**
 * The decision log. Whoever is behind the proxy decides how many requests there are, but not how
 * many lines: repeats within ten seconds become one later line with a count, and past 200 lines a
 * second the rest is counted by reason alone. Nothing goes uncounted.
 */
export class DecisionLog {
  readonly #logger: Logger;
  readonly #observers: readonly DecisionObserver[];
  #logAllowed: boolean;
  readonly #folds = new Map<string, Fold>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Connections that were let through and have not ended. */
  #open = 0;
  #onNoneOpen: (() => void) | undefined;
  readonly #budgets = {
    ingress: new LineBudget(INGRESS_LINES),
    strangers: new LineBudget(STRANGER_LINES),
    lookups: new LineBudget(LOOKUP_LINES),
    egress: new LineBudget(EGRESS_LINES),
  };

  /** @param logger decisions are written whatever its level: LOG_ALLOWED is their switch. */
  constructor(logger: Logger, logAllowed: boolean, observers: readonly DecisionObserver[] = []) {
    this.#logger = onRecord(logger);
    this.#logAllowed = logAllowed;
    this.#observers = observers;
  }

  /** Sets whether what was allowed is written too; observers learn of it in any case. */
  set logAllowed(allowed: boolean) {
    this.#logAllowed = allowed;
  }

  /**
   * Records a decision; it is written or counted when this returns.
   * @param totals what its connection has carried, where it was let through before.
   */
  decide(decision: DecisionRecord, totals: EndTotals | null = null): Recorded {
    const record = bounded(decision);
    for (const observer of this.#observers) observer.decided(record, totals);
    // A look-up has no end.
    if (record.decision !== 'deny' && record.via !== 'dns') this.#open += 1;
    if (record.decision === 'allow' && !this.#logAllowed) return { record, place: 'hidden' };
    const key = foldKey(record);
    const fold = this.#folds.get(key);
    if (fold) {
      add(fold, 1, totals);
      return { record, place: 'repeat' };
    }
    const level = record.decision === 'allow' ? 'info' : 'warn';
    if (this.#write(level, { ...record, ...totals })) {
      this.#openFold(key, { fields: record, level, repeated: 0, totals: null });
      return { record, place: 'line' };
    }
    this.#overflow(record, level, 1, totals);
    return { record, place: 'overflow' };
  }

  /** Tells the observers of a connection that was let through, and of what it carries while it does. */
  open({ record }: Recorded, totals: () => EndTotals): void {
    for (const observer of this.#observers) observer.opened?.(record, totals);
  }

  /** Records the end of a connection that was let through. */
  end({ record, place }: Recorded, totals: EndTotals): void {
    for (const observer of this.#observers) observer.ended?.(record, totals);
    this.#recordEnd(record, place, totals);
    this.#open -= 1;
    if (this.#open === 0) this.#onNoneOpen?.();
  }

  #recordEnd(record: DecisionRecord, place: Recorded['place'], totals: EndTotals): void {
    if (place === 'hidden') return;
    const { id, via, client, host, port } = record;
    const fields = { event: 'egress_end', id, via, client, host, port };
    if (place === 'line' && this.#write('info', { ...fields, ...totals })) return;
    if (place !== 'repeat') {
      this.#overflow({ ...record, event: 'egress_end' }, 'info', 1, totals);
      return;
    }
    const key = `end ${foldKey(record)}`;
    const fold = this.#folds.get(key);
    const anyOfThem = { ...fields, id: null };
    if (fold) add(fold, 1, totals);
    else this.#openFold(key, { fields: anyOfThem, level: 'info', repeated: 1, totals });
  }

  /** Waits a moment for connections that are just ending, then writes every count still open. */
  async close(): Promise<void> {
    if (this.#open > 0) {
      await new Promise<void>((resolve) => {
        this.#onNoneOpen = resolve;
        setTimeout(resolve, LAST_ENDS_MS);
      });
    }
    for (const key of [...this.#folds.keys()]) this.#closeFold(key, true);
  }

  #write(level: 'info' | 'warn', fields: LineFields): boolean {
    if (!this.#budgetOf(fields).take()) return false;
    this.#logger[level](fields);
    return true;
  }

  #budgetOf({ event, reason, via }: LineFields): LineBudget {
    if (event === 'ingress') return this.#budgets.ingress;
    if (reason === 'client_not_allowed') return this.#budgets.strangers;
    return via === 'dns' ? this.#budgets.lookups : this.#budgets.egress;
  }

  #overflow(
    record: Omit<DecisionRecord, 'event'> & { event: string },
    level: Fold['level'],
    repeated: number,
    totals: EndTotals | null,
  ): void {
    const { event, decision, reason } = record;
    const key = `overflow ${event} ${decision} ${reason}`;
    const fold = this.#folds.get(key);
    if (fold) {
      add(fold, repeated, totals);
      return;
    }
    const nothing = { rule: null, via: null, method: null, host: null, port: null };
    const fields = { event, decision, reason, ...nothing, address: null, client: null, id: null };
    this.#openFold(key, { fields, level, repeated, totals });
  }

  #openFold(key: string, fold: Fold): void {
    this.#folds.set(key, fold);
    this.#timers.set(key, setTimeout(() => this.#closeFold(key, false), WINDOW_MS).unref());
  }

  #closeFold(key: string, last: boolean): void {
    const fold = this.#folds.get(key);
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    this.#folds.delete(key);
    if (!fold || fold.repeated === 0) return;
    const { fields, level, repeated, totals } = fold;
    // Sums of several connections are no single one's.
    const line = { ...fields, ...totals, ...(totals ? { id: null } : {}), repeated };
    // There are no more overflow lines than reasons, so these need no budget.
    if (last || key.startsWith('overflow ')) this.#logger[level](line);
    else if (!this.#write(level, line))
      this.#overflow(fields as DecisionRecord, level, repeated, totals);
  }
}

/** What decisions have to share to be repeats of one: everything that their line shows but when. */
function foldKey(record: DecisionRecord): string {
  const { event, client, via, host, port, address, decision, reason } = record;
  const { rule, sni, ech, config, error, final, verify } = record;
  // Resolvers ask for both families at once: that is one look-up.
  const method = via === 'dns' && record.method === 'AAAA' ? 'A' : record.method;
  return JSON.stringify([
    ...[event, client, via, method, host, port, address, decision, reason],
    ...[rule, sni, ech, config, error, final, verify],
  ]);
}

function add(fold: Fold, repeated: number, totals: EndTotals | null): void {
  fold.repeated += repeated;
  if (!totals) return;
  const sum = fold.totals ?? NOTHING;
  fold.totals = {
    bytes_out: sum.bytes_out + totals.bytes_out,
    bytes_in: sum.bytes_in + totals.bytes_in,
    duration_ms: sum.duration_ms + totals.duration_ms,
    ...(sum.ech || totals.ech ? { ech: true } : {}),
  };
}

function bounded(record: DecisionRecord): DecisionRecord {
  const { host, method, sni } = record;
  return {
    ...record,
    ...(sni === undefined ? {} : { sni: printable(sni) }),
    host: host === null ? null : printable(host),
    method: method === null ? null : printable(method),
  };
}
