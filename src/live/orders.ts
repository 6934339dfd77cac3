import { CONTROL_MARK } from '../http/headers.ts';
import type { Allowed, TimedAllows } from './timed-allows.ts';

// What is said over the control socket, for both of its ends.

/** The value of the control mark. */
export const OPERATOR = 'operator';

/** What a client of the control socket sends along, so that it is not taken for one of ingress. */
export const CONTROL_HEADERS = { [CONTROL_MARK]: OPERATOR };

/** A day: what is needed longer belongs in the configuration. */
export const LONGEST_ALLOW_MS = 24 * 3_600_000;

/** What `POST /allow` takes. */
export interface AllowCommand {
  rules: string[];
  /** As in `30m`. */
  for: string;
  /** A group whose limit on uploads holds for them. */
  group?: string;
  /** As in `256KiB`. */
  max_upload?: string;
}

/** What it answers. */
export interface AllowAnswer {
  /** ISO 8601. */
  until: string;
  /** What has become of each rule. */
  rules: Allowed[];
}

/** The answer to `GET /allow`. */
export interface AllowList {
  rules: ReturnType<TimedAllows['list']>;
}

/** The answer to `POST /allow/end`. */
export interface EndAnswer {
  ended: string[];
}
