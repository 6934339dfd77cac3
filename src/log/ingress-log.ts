import type { IngressObserver, IngressRequest, RequestEnd } from '../ingress/observer.ts';
import { FoldedLines } from './folded-lines.ts';
import { type Logger, onRecord } from './logger.ts';
import { printable } from './printable.ts';

/** Lines a second. */
const FAILURE_LINES = 20;
const REQUEST_LINES = 200;

/**
 * The log of what happens to requests that ingress passes on: `ingress_failure` where whisper's answer
 * did not reach the client whole, and `ingress_request` for each of them, if LOG_REQUESTS asks for it.
 * What ingress denies is in the decision log. A path or a query never gets here.
 */
export class IngressLog implements IngressObserver {
  /** Whether each request has a line of its own. */
  logRequests: boolean;
  readonly #failures: FoldedLines;
  readonly #requests: FoldedLines;

  /** @param logger lines are written whatever its level. */
  constructor(logger: Logger, logRequests: boolean) {
    const record = onRecord(logger);
    this.logRequests = logRequests;
    this.#failures = new FoldedLines(record, 'warn', FAILURE_LINES);
    this.#requests = new FoldedLines(record, 'info', REQUEST_LINES);
  }

  requestEnded(request: IngressRequest, end: RequestEnd): void {
    if (end.denied !== null) return;
    if (this.logRequests) this.#logRequest(request, end);
    if (end.failure !== null) this.#logFailure(request, end);
  }

  /** Writes every count that is still open. */
  close(): void {
    this.#failures.close();
    this.#requests.close();
  }

  #logFailure({ client, method }: IngressRequest, end: RequestEnd): void {
    const { reason, error } = end.failure ?? { reason: null, error: null };
    const event = 'ingress_failure';
    const status = end.outcome;
    const duration_ms = Math.round(end.duration_ms);
    this.#failures.write({
      fields: { event, reason, error, client, method: text(method), status, duration_ms },
      alike: { event, reason, error, client, method: null, status },
      beyond: { event, reason, error: null, client: null, method: null, status: null },
    });
  }

  #logRequest({ client, method }: IngressRequest, end: RequestEnd): void {
    const event = 'ingress_request';
    const { outcome: status, bytes_in, bytes_out, failure } = end;
    const duration_ms = Math.round(end.duration_ms);
    const why = failure === null ? {} : { reason: failure.reason, error: failure.error };
    const fields = { client, method: text(method), status, bytes_in, bytes_out, duration_ms };
    this.#requests.writeSingle(
      { event, ...fields, ...why },
      { event, client: null, method: null, status: null },
    );
  }
}

function text(method: string | null): string | null {
  return method === null ? null : printable(method);
}
