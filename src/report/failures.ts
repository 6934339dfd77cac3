import type { FailureReason, IngressFailure } from '../ingress/observer.ts';
import { type Look, wrap } from './look.ts';
import { formatTime } from './times.ts';

/** What a client got where whisper failed. */
type FailureStatus = 502 | 503 | 504 | 'cut_off';

/** Requests that whisper did not answer, or not to the end, for one reason. */
export interface FailureGroup {
  reason: FailureReason;
  status: FailureStatus;
  count: number;
  /** ISO 8601. */
  first: string;
  last: string;
  /** The last of them that had one: the error's code; who asked. */
  error: string | null;
  client: string | null;
  /** What it means, and where to look, as a sentence without its first capital and its final stop. */
  text: string;
}

/** A failure as it is tallied; a line of the log may stand for several. */
export interface TalliedFailure extends IngressFailure {
  status: FailureStatus;
  client: string | null;
}

/** Whether whisper listens, as `health` tells it. */
export interface WhisperState {
  address: string;
  state: 'up' | 'down';
  error?: string;
}

const STATUSES: readonly unknown[] = [502, 503, 504, 'cut_off'] satisfies FailureStatus[];

/** Whether a value of a log line is such a status. */
export function isFailureStatus(value: unknown): value is FailureStatus {
  return STATUSES.includes(value);
}

/** Merges failures of ingress into groups: no more than there are reasons and statuses. */
export class FailureTally {
  readonly #groups = new Map<string, FailureGroup>();

  /** Counts a failure, or as many as a line stands for. @param time ISO 8601. */
  add({ reason, status, error, client }: TalliedFailure, time: string, count = 1): void {
    const key = `${reason} ${status}`;
    const group = this.#groups.get(key);
    if (group === undefined) {
      const text = EXPLANATIONS[reason];
      const times = { first: time, last: time };
      this.#groups.set(key, { reason, status, count, ...times, error, client, text });
      return;
    }
    group.count += count;
    if (time < group.first) group.first = time;
    if (time < group.last) return;
    group.last = time;
    group.error = error ?? group.error;
    group.client = client ?? group.client;
  }

  /** Every group, the last in time first. */
  groups(): FailureGroup[] {
    return [...this.#groups.values()]
      .map((group) => ({ ...group }))
      .sort((a, b) => (a.last < b.last ? 1 : -1));
  }
}

const EXPLANATIONS: Record<FailureReason, string> = {
  connection_refused:
    'whisper did not listen; it was down or loading a model, or it listens on 127.0.0.1 only',
  connection_timeout: 'whisper could not be reached within INGRESS_CONNECT_TIMEOUT',
  connection_terminated:
    'whisper closed the connection before its answer was complete; see podman logs whisper',
  http_protocol_error: "whisper's answer was malformed, or its header too long",
};

/**
 * How ingress failed, as lines for people; none if it did not.
 * @param whisper how whisper is now, where that is known.
 */
export function formatFailures(
  failures: readonly FailureGroup[],
  whisper: WhisperState | null,
  look: Look,
): string[] {
  const isDown = whisper?.state === 'down';
  if (failures.length === 0 && !isDown) return [];
  const lines = failures.map(({ reason, status, count, last, error, client, text }) => {
    const what = status === 'cut_off' ? 'ingress cut off its answer' : `ingress answered ${status}`;
    const often = count === 1 ? 'once' : `${count} times`;
    const code = error === null ? '' : ` (${error})`;
    const who = client === null ? '' : ` to ${client}`;
    return `${what} ${often}, last at ${formatTime(last, look.now)}${who}: ${reason}${code}: ${text}`;
  });
  return [[...lines, ...describeNow(whisper)].flatMap((line) => wrap(line, look)).join('\n')];
}

function describeNow(whisper: WhisperState | null): string[] {
  if (whisper === null) return [];
  const { address, state, error } = whisper;
  const why = error === undefined ? '' : ` (${error})`;
  return [`whisper at ${address} is ${state} now${why}`];
}
