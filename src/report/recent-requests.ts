import type { IngressObserver, IngressRequest, Outcome, RequestEnd } from '../ingress/observer.ts';
import { printable } from '../log/printable.ts';
import { type FailureGroup, FailureTally, isFailureStatus } from './failures.ts';

/** A request to whisper. */
export interface RequestSummary {
  client: string | null;
  method: string | null;
  /** null: it runs. */
  status: Outcome | null;
  /** ISO 8601. */
  started: string;
  /** So far, while it runs. */
  duration_ms: number;
  bytes_in: number;
  bytes_out: number;
  /** What failed, where whisper's answer did not reach the client whole. */
  reason: string | null;
  error: string | null;
}

/** What ingress does, and has done last. */
export interface IngressActivity {
  in_flight: number;
  /** Some of those that run, the longest first. */
  running: RequestSummary[];
  /** The last that were passed on to whisper, the last in time first. */
  last: RequestSummary[];
  /** Of those that whisper has answered, among the last hundred; null: there are none. */
  median_ms: number | null;
  /** How many that is the median of. */
  median_of: number;
  failures: FailureGroup[];
}

const KEPT = 100;
const SHOWN = 50;
const SHOWN_RUNNING = 20;

/**
 * What the running program remembers of the requests to whisper, in bounded memory. Requests that
 * ingress denies are decisions, and not among them: a stranger cannot push out what is remembered.
 */
export class RecentRequests implements IngressObserver {
  readonly #running = new Set<IngressRequest>();
  /** The last in time last; without the request itself, which holds its connection. */
  readonly #ended: RequestSummary[] = [];
  readonly #failures = new FailureTally();

  requestBegan(request: IngressRequest): void {
    this.#running.add(request);
  }

  requestEnded(request: IngressRequest, end: RequestEnd): void {
    this.#running.delete(request);
    if (end.denied !== null) return;
    this.#ended.push(summarizeEnded(request, end));
    if (this.#ended.length > KEPT) this.#ended.shift();
    const { failure, outcome } = end;
    if (failure === null || !isFailureStatus(outcome)) return;
    const { client } = request;
    this.#failures.add({ ...failure, status: outcome, client }, new Date().toISOString());
  }

  /** How whisper has failed since the program's start. */
  failures(): FailureGroup[] {
    return this.#failures.groups();
  }

  /** All of it as it is now. */
  activity(): IngressActivity {
    const durations = this.#ended.flatMap(({ status, reason, duration_ms }) =>
      typeof status === 'number' && reason === null ? [duration_ms] : [],
    );
    return {
      in_flight: this.#running.size,
      running: [...this.#running].slice(0, SHOWN_RUNNING).map(summarizeRunning),
      last: this.#ended.slice(-SHOWN).reverse(),
      median_ms: median(durations),
      median_of: durations.length,
      failures: this.failures(),
    };
  }
}

function summarizeRunning(request: IngressRequest): RequestSummary {
  const { in: bytes_in, out: bytes_out } = request.bytes();
  const duration_ms = Math.max(0, Date.now() - request.started);
  const running = { status: null, duration_ms, reason: null, error: null };
  return { ...summarize(request), ...running, bytes_in, bytes_out };
}

function summarizeEnded(
  request: IngressRequest,
  { outcome, duration_ms, bytes_in, bytes_out, failure }: RequestEnd,
): RequestSummary {
  return {
    ...summarize(request),
    status: outcome,
    duration_ms: Math.round(duration_ms),
    bytes_in,
    bytes_out,
    reason: failure?.reason ?? null,
    error: failure?.error ?? null,
  };
}

function summarize({ client, method, started }: IngressRequest) {
  return {
    client,
    method: method === null ? null : printable(method),
    started: new Date(started).toISOString(),
  };
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  return upper === undefined || lower === undefined ? null : Math.round((upper + lower) / 2);
}
