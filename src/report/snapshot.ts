import type { Via } from '../log/decision-log.ts';
import type { Decision, Reason } from '../policy/decide.ts';
import type { List } from '../policy/rules.ts';
import type { FailureGroup } from './failures.ts';

/** Decisions that differ in nothing but when, how, and who asked. */
export interface TalliedGroup {
  event: 'egress' | 'ingress';
  decision: Decision;
  reason: Reason | null;
  /** The label of the rule that decided. */
  rule: string | null;
  /** null: none was given, or there were too many to be kept apart. */
  host: string | null;
  port: number | null;
  /** Every way that it was asked for. */
  via: Via[];
  count: number;
  /** ISO 8601, as all times here. */
  first: string;
  last: string;
  /** The last of them that had one: the address that was the reason, or that was tried; the error's code; who asked. */
  address: string | null;
  error: string | null;
  client: string | null;
  /** The address is closed under any rule. */
  final: boolean;
  /** The requests say that `whisper-proxy verify` made them. */
  verify?: true;
}

/** What an operator can do about a denial. */
export interface Remedy {
  /** The line to add to the env file, which works as it is; null where there is none, or none should be. */
  line: string | null;
  /** The line to add beside it, which limits uploads to where `line` leads; null: there is none. */
  limit: string | null;
  /** Why, and what to do, as a sentence without its first capital and its final stop. */
  text: string;
  /** Nothing is missing without it: the text says what it is, and how to turn it off. */
  noise: boolean;
  /** It looks like an attempt of `whisper-proxy verify`, which has to be denied: listed apart. */
  verify?: boolean;
}

export interface DecisionGroup extends TalliedGroup {
  /** null: it was allowed. */
  remedy: Remedy | null;
}

/** A group with what the status page needs to put it in its place. */
export interface ShownGroup extends DecisionGroup {
  /** The registrable domain of the host; null: it has none. */
  domain: string | null;
  /** Whose host it is, where models or packages are known to come from there. */
  source: string | null;
  /** One of many names that came together, none of them asked for more often than the others. */
  burst: boolean;
  /** The command that allows for half an hour what the lines of the remedy allow for good. */
  command: string | null;
}

/** How often a rule has decided since the program's start. */
export interface RuleUse {
  list: List;
  label: string;
  used: number;
  last: string | null;
  /** When it ends, if it is allowed for a time. */
  until: string | null;
  /** When it was first seen in force. */
  since: string;
}

/** How much was decided about egress in one minute, look-ups included. */
export interface Minute {
  /** Its beginning. */
  at: string;
  /** What was let through: `would_deny` too. */
  allow: number;
  /** A connection that is let through and then ended counts in both. */
  deny: number;
}

/** What the program remembers of its decisions: the answer to `GET /decisions`. */
export interface Snapshot {
  /** Since when; what was before is in the journal. */
  since: string;
  /** Which rules are in force. */
  config: string;
  mode: 'enforce' | 'report';
  /** The configuration was invalid at the start, and egress denies everything until it is mended. */
  denies_all: boolean;
  /** The last in time first. */
  groups: ShownGroup[];
  /** In the order of the configuration, then those that are allowed for a time. */
  rules: RuleUse[];
  /** The last sixty, the oldest first. */
  minutes: Minute[];
  /** How whisper has failed at ingress, the last in time first. */
  failures: FailureGroup[];
  /** Puts a changed env file into force. */
  reload: string;
}
