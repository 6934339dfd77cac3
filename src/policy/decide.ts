import { classifyAddress } from './addresses.ts';
import { findAddressRule, findRule, type Rule } from './rules.ts';
import type { Target } from './target.ts';

export type Decision = 'allow' | 'deny' | 'would_deny';

/** Why something was denied; the names are part of the log's interface. */
export type Reason =
  | 'not_allowed'
  | 'deny_rule'
  | 'non_public_address'
  | 'bad_target'
  | 'too_many_connections'
  | 'dns_error'
  | 'connect_failed'
  | 'client_not_allowed'
  | 'foreign_redirect';

export interface Verdict {
  decision: Decision;
  reason: Reason | null;
  /** The label of the rule that decided, or null. */
  rule: string | null;
  /** No rule could open it: link-local, metadata, the proxy itself, its clients. */
  final?: boolean;
  /** The address that was denied, where it was one of those that a name resolves to. */
  address?: string;
}

/** The rules in force. */
export interface Policy {
  allow: readonly Rule[];
  deny: readonly Rule[];
  mode: 'enforce' | 'report';
}

/** Tells whether an address and port may never be reached: the proxy's own listeners, its clients. */
export type IsForbidden = (address: string, port: number) => boolean;

/**
 * Decides about a target before anything is looked up. An address gets its final verdict; a name
 * that is let through here must still pass `decideAddresses` with what it resolves to.
 */
export function decideTarget(policy: Policy, target: Target, isForbidden: IsForbidden): Verdict {
  const denied = findRule(policy.deny, target);
  if (denied) return deny('deny_rule', denied);
  const allowed = findRule(policy.allow, target);
  const verdict: Verdict = allowed
    ? { decision: 'allow', reason: null, rule: allowed.label }
    : {
        decision: policy.mode === 'report' ? 'would_deny' : 'deny',
        reason: 'not_allowed',
        rule: null,
      };
  return target.kind === 'address'
    ? decideAddresses(policy, verdict, [target.host], target.port, isForbidden)
    : verdict;
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
    const final = never || isForbidden(address, port);
    if (final || (!isPublic && !findAddressRule(policy.allow, address, port))) {
      return { ...deny('non_public_address'), address, final };
    }
  }
  return verdict;
}

function deny(reason: Reason, rule?: Rule): Verdict {
  return { decision: 'deny', reason, rule: rule?.label ?? null };
}
