import { addressForms, classifyAddress } from './addresses.ts';
import {
  coversAllBelow,
  findAddressRule,
  findNameRules,
  findRule,
  findRules,
  isBelow,
  type Rule,
} from './rules.ts';
import type { Target } from './target.ts';

export type Decision = 'allow' | 'deny' | 'would_deny';

/** Why something was denied; the names are part of the log's interface. */
export const REASONS = [
  'not_allowed',
  'deny_rule',
  'non_public_address',
  'bad_target',
  'sni_mismatch',
  'no_sni',
  'upload_limit',
  'too_many_connections',
  'dns_error',
  'connect_failed',
  'client_not_allowed',
  'foreign_redirect',
] as const;

export type Reason = (typeof REASONS)[number];

export interface Verdict {
  decision: Decision;
  reason: Reason | null;
  /** The label of the rule that decided, or null. */
  rule: string | null;
  /** No rule could open it: link-local, metadata, the proxy itself, its clients. */
  final?: boolean;
  /** The address that was denied, where it was one of those that a name resolves to. */
  address?: string;
  /** Of a look-up: some name below this one is let through, so this one exists, though without an address. */
  hasNamesBelow?: true;
  /** Bytes that the client may send to the target on this connection; without it, any number. */
  maxUpload?: number;
  /** It was denied since the configuration has faults, not since a rule is missing. */
  invalid?: boolean;
}

/** The rules in force. */
export interface Policy {
  allow: readonly Rule[];
  deny: readonly Rule[];
  mode: 'enforce' | 'report';
  maxUpload: {
    /** Bytes on one connection, for every rule whose group has no limit of its own; null: any number. */
    default: number | null;
    groups: Readonly<Record<string, number>>;
  };
  /** The configuration has faults, so there are no rules, and everything is denied. */
  invalid?: boolean;
}

/**
 * Tells whether an address and port may never be reached: the proxy's own listeners, its clients. It is
 * asked about the IPv4 addresses that an address carries as well.
 */
export type IsForbidden = (address: string, port: number) => boolean;

/**
 * Decides about a target before anything is looked up. An address gets its final verdict; a name
 * that is let through here must still pass `decideAddresses` with what it resolves to.
 */
export function decideTarget(policy: Policy, target: Target, isForbidden: IsForbidden): Verdict {
  if (policy.invalid) return notAllowed(policy);
  const denied = findRule(policy.deny, target);
  if (denied) return deny('deny_rule', denied);
  const allowed = findRules(policy.allow, target);
  const verdict = allowed.length > 0 ? allow(policy, allowed) : notAllowed(policy);
  return target.kind === 'address'
    ? decideAddresses(policy, verdict, [target.host], target.port, isForbidden)
    : verdict;
}

/**
 * Decides about a look-up: a name that could be let through on some port is answered, since only the
 * connection tells which port it is for. Nothing is looked up for it.
 * @param name canonical.
 */
export function decideLookup(policy: Policy, name: string): Verdict {
  const verdict = decideName(policy, name);
  return verdict.decision === 'deny' && hasNamesBelow(policy, name)
    ? { ...verdict, hasNamesBelow: true }
    : verdict;
}

/**
 * Whether some name below a denied one is let through: that it does not exist would say the same of all
 * names below it (RFC 8020).
 */
function hasNamesBelow(policy: Policy, name: string): boolean {
  const isClosed = (domain: string, port: number | null) =>
    policy.deny.some(
      (rule) => coversAllBelow(rule, domain) && (rule.port === null || rule.port === port),
    );
  if (policy.mode === 'report') return !isClosed(name, null);
  return policy.allow.some(({ match, port }) => {
    if (match.kind === 'name') {
      return isBelow(match.name, name) && decideName(policy, match.name).decision === 'allow';
    }
    if (match.kind !== 'suffix') return false;
    if (isBelow(name, match.suffix)) return !isClosed(name, port);
    return (match.suffix === name || isBelow(match.suffix, name)) && !isClosed(match.suffix, port);
  });
}

function decideName(policy: Policy, name: string): Verdict {
  const candidates = findNameRules(policy.allow, name);
  const denials = findNameRules(policy.deny, name);
  const denialOf = (port: number | null) =>
    denials.find((rule) => rule.port === null || rule.port === port);
  const allowed = candidates.find(({ port }) => denialOf(port) === undefined);
  if (allowed) return allow(policy, [allowed]);
  const everywhere = denialOf(null);
  if (everywhere) return deny('deny_rule', everywhere);
  const [candidate] = candidates;
  return candidate && policy.mode === 'enforce'
    ? deny('deny_rule', denialOf(candidate.port))
    : notAllowed(policy);
}

/**
 * The whole decision about a target with the addresses that it has.
 * @param addresses canonical addresses, at least one.
 */
export function decide(
  policy: Policy,
  target: Target,
  addresses: readonly string[],
  isForbidden: IsForbidden,
): Verdict {
  const verdict = decideTarget(policy, target, isForbidden);
  if (verdict.decision === 'deny') return verdict;
  return decideAddresses(policy, verdict, addresses, target.port, isForbidden);
}

/**
 * Decides about every address that a target has. One that is denied denies the target: whoever
 * controls a name must not be able to mix a private address among public ones.
 * @param verdict what `decideTarget` said; it stands if no address objects.
 * @param addresses canonical addresses, at least one.
 */
export function decideAddresses(
  policy: Policy,
  verdict: Verdict,
  addresses: readonly string[],
  port: number,
  isForbidden: IsForbidden,
): Verdict {
  for (const address of addresses) {
    const denied = findAddressRule(policy.deny, address, port);
    if (denied) return { ...deny('deny_rule', denied), address };
    const { public: isPublic, never } = classifyAddress(address);
    const final = never || addressForms(address).some((form) => isForbidden(form, port));
    if (final || (!isPublic && !findAddressRule(policy.allow, address, port))) {
      return { ...deny('non_public_address'), address, final };
    }
  }
  return verdict;
}

/** The first rule decides; each that covers the target may limit what goes up. */
function allow(policy: Policy, rules: readonly Rule[]): Verdict {
  const rule = rules[0]?.label ?? null;
  return { decision: 'allow', reason: null, rule, ...uploadLimit(policy, rules) };
}

function notAllowed(policy: Policy): Verdict {
  if (policy.invalid) return { ...deny('not_allowed'), invalid: true };
  if (policy.mode === 'enforce') return deny('not_allowed');
  return {
    decision: 'would_deny',
    reason: 'not_allowed',
    rule: null,
    ...uploadLimit(policy, [{ group: null }]),
  };
}

/** The smallest limit of several rules: in which order they stand must not matter. */
function uploadLimit(
  policy: Policy,
  rules: readonly Pick<Rule, 'group' | 'maxUpload'>[],
): { maxUpload?: number } {
  const limits = rules.flatMap((rule) => rule.maxUpload ?? groupLimit(policy, rule.group) ?? []);
  return limits.length === 0 ? {} : { maxUpload: Math.min(...limits) };
}

/** The bytes that rules of a group let through on one connection, or null for any number. */
export function groupLimit({ maxUpload }: Policy, group: string | null): number | null {
  const ofGroup =
    group !== null && Object.hasOwn(maxUpload.groups, group) ? maxUpload.groups[group] : undefined;
  return ofGroup ?? maxUpload.default;
}

function deny(reason: Reason, rule?: Rule): Verdict {
  return { decision: 'deny', reason, rule: rule?.label ?? null };
}
