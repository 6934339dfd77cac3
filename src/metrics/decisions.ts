import { Counter, type Registry } from 'prom-client';
import type { RulesInForce } from '../live/rules-in-force.ts';
import type { DecisionRecord, Via } from '../log/decision-log.ts';
import type { Policy, Reason } from '../policy/decide.ts';
import type { List, Rule } from '../policy/rules.ts';

const LABELS = ['event', 'decision', 'reason', 'group', 'via'] as const;
const NONE = 'none';
const CONNECTIONS: readonly Via[] = ['connect', 'http', 'tls', 'transparent_http'];
const EVERYTHING: readonly Via[] = [...CONNECTIONS, 'dns'];

interface Possible {
  vias: readonly Via[];
  /** The list whose groups can be the rule's. */
  list?: List;
}

/** Which denials there can be at egress. */
const DENIALS: Record<Exclude<Reason, 'foreign_redirect'>, Possible> = {
  not_allowed: { vias: EVERYTHING },
  deny_rule: { vias: EVERYTHING, list: 'deny' },
  non_public_address: { vias: CONNECTIONS },
  bad_target: { vias: EVERYTHING },
  sni_mismatch: { vias: ['connect'], list: 'allow' },
  no_sni: { vias: CONNECTIONS, list: 'allow' },
  upload_limit: { vias: CONNECTIONS, list: 'allow' },
  too_many_connections: { vias: EVERYTHING },
  dns_error: { vias: CONNECTIONS, list: 'allow' },
  connect_failed: { vias: CONNECTIONS, list: 'allow' },
  client_not_allowed: { vias: EVERYTHING },
};

const INGRESS_DENIALS: [Reason, readonly Via[]][] = [
  ['client_not_allowed', ['connect', 'http']],
  ['dns_error', ['connect', 'http']],
  ['bad_target', ['connect', 'http']],
  ['foreign_redirect', ['http']],
  ['too_many_connections', ['http']],
];

/**
 * Counts decisions. Every count that there can be is there from the start, with 0: a rate over time
 * would miss the first event of one that begins with it.
 */
export class DecisionMetrics {
  readonly #rules: RulesInForce;
  readonly #vias: ReadonlySet<Via>;
  readonly #counter: Counter<(typeof LABELS)[number]>;
  #prepared: Policy | undefined;

  /** @param vias the ways in that are open. */
  constructor(registry: Registry, rules: RulesInForce, vias: ReadonlySet<Via>) {
    this.#rules = rules;
    this.#vias = vias;
    this.#counter = new Counter({
      name: 'whisper_proxy_decisions_total',
      help: 'Decisions by listener (event), decision, reason, group of the rule, and way in (via). A connection that is let through and then ended counts as both.',
      labelNames: LABELS,
      registers: [registry],
      collect: () => this.#prepare(),
    });
  }

  count({ event, decision, reason, rule, via }: DecisionRecord): void {
    const group = this.#groupOf(rule);
    this.#counter.inc({ event, decision, reason: reason ?? NONE, group, via });
  }

  /** The group of the rule with that label; only those of the rules in force are told apart. */
  #groupOf(label: string | null): string {
    if (label === null) return NONE;
    const { allow, deny } = this.#rules.policy;
    const hasLabel = (rule: Rule) => rule.label === label;
    return (allow.find(hasLabel) ?? deny.find(hasLabel))?.group ?? NONE;
  }

  /** Other rules can have other groups. */
  #prepare(): void {
    const { policy } = this.#rules;
    if (this.#prepared === policy) return;
    this.#prepared = policy;
    const egress = { event: 'egress', decision: 'deny' } as const;
    for (const [reason, { vias, list }] of Object.entries(DENIALS)) {
      this.#start({ ...egress, reason }, vias, list && policy[list]);
    }
    this.#start({ ...egress, decision: 'allow', reason: NONE }, EVERYTHING, policy.allow);
    this.#start({ ...egress, decision: 'would_deny', reason: 'not_allowed' }, EVERYTHING);
    for (const [reason, vias] of INGRESS_DENIALS) {
      this.#start({ event: 'ingress', decision: 'deny', reason }, vias);
    }
  }

  #start(
    labels: { event: string; decision: string; reason: string },
    vias: readonly Via[],
    rules: readonly Rule[] = [],
  ): void {
    const groups = new Set([NONE, ...rules.map(({ group }) => group ?? NONE)]);
    for (const via of vias.filter((each) => this.#vias.has(each))) {
      for (const group of groups) this.#counter.inc({ ...labels, via, group }, 0);
    }
  }
}
