import type { Via } from '../log/decision-log.ts';
import type { Decision, Reason } from '../policy/decide.ts';
import type { List } from '../policy/rules.ts';

/** Decisions that differ in nothing but when, how, and who asked. */
export interface DecisionGroup {
  event: 'egress' | 'ingress';
  decision: Decision;
  reason: Reason | null;
  /** The label of the rule that decided. */
  rule: string | null;
  /** null: of many hosts, counted together. */
  host: string | null;
  port: number | null;
  /** Every way that it was asked for. */
  via: Via[];
  count: number;
  /** ISO 8601, as all times here. */
  first: string;
  last: string;
}

/** How often a rule has decided since the program's start. */
export interface RuleUse {
  list: List;
  label: string;
  used: number;
  last: string | null;
  /** When it ends, if it is allowed for a time. */
  until: string | null;
}

/** What was decided about egress in one minute. */
export interface Minute {
  /** Its beginning. */
  at: string;
  allow: number;
  deny: number;
}

/** What the program remembers of its decisions: the answer to `GET /decisions`. */
export interface Snapshot {
  /** Since when; what was before is in the journal. */
  since: string;
  /** Which rules are in force. */
  config: string;
  mode: 'enforce' | 'report';
  /** The last in time first. */
  groups: DecisionGroup[];
  /** In the order of the configuration, then those that are allowed for a time. */
  rules: RuleUse[];
  /** The last sixty, the oldest first. */
  minutes: Minute[];
}
