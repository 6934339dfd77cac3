import { classifyAddress, networkAddress } from './addresses.ts';
import { decide, decideTarget, type IsForbidden, type Policy, type Verdict } from './decide.ts';
import { coversRule, overlaps, type Rule } from './rules.ts';
import type { Target } from './target.ts';

/** What an allow rule would do. */
export interface Outlook {
  /** false: whatever it covers stays denied. */
  allowed: boolean;
  /** Why it stays denied, or what of it does; a clause without its final stop. */
  why: string | null;
  /** Bytes that may be sent on one connection; null: any number. */
  maxUpload: number | null;
}

/** What a name resolves to, or the code of the error. */
export type LookedUp = { addresses: readonly string[] } | { code: string };

const HTTPS = 443;

/** The one target that a rule is about, at its likely port; null for a network or a wildcard. */
export function targetOf({ match, port }: Rule): Target | null {
  if (match.kind === 'name') return { kind: 'name', host: match.name, port: port ?? HTTPS };
  if (match.kind === 'suffix') return null;
  const { address, prefix } = match.network;
  const bits = address.kind() === 'ipv4' ? 32 : 128;
  const host = networkAddress(match.network);
  return prefix === bits ? { kind: 'address', host, port: port ?? HTTPS } : null;
}

/**
 * What an allow rule would do.
 * @param policy with the rule in it.
 * @param lookedUp what its name resolves to, where it has one.
 */
export function foresee(
  policy: Policy,
  rule: Rule,
  lookedUp: LookedUp | null,
  isForbidden: IsForbidden,
): Outlook {
  const denial = policy.deny.find((deny) => coversRule(deny, rule));
  if (denial) return denied(`the deny rule "${denial.label}" wins over it`);
  const partial = policy.deny.find((deny) => overlaps(deny, rule));
  const but = partial ? `but not what the deny rule "${partial.label}" covers` : null;
  const target = targetOf(rule);
  if (target === null) {
    return { allowed: true, why: but, maxUpload: ownLimit(policy, rule) };
  }
  const verdict =
    lookedUp !== null && 'addresses' in lookedUp
      ? decide(policy, target, lookedUp.addresses, isForbidden)
      : decideTarget(policy, target, isForbidden);
  if (verdict.decision === 'deny') return denied(explain(verdict, target));
  const unknown =
    lookedUp !== null && 'code' in lookedUp
      ? `though the name cannot be looked up now (${lookedUp.code})`
      : null;
  return { allowed: true, why: but ?? unknown, maxUpload: verdict.maxUpload ?? null };
}

function ownLimit({ maxUpload }: Policy, rule: Rule): number | null {
  return rule.maxUpload ?? maxUpload.default;
}

function denied(why: string): Outlook {
  return { allowed: false, why, maxUpload: null };
}

function explain({ reason, rule, final, address }: Verdict, { kind, host, port }: Target): string {
  const which = kind === 'address' ? 'it' : `its address ${address}`;
  if (reason === 'deny_rule') return `the deny rule "${rule}" covers ${which}`;
  const { name } = classifyAddress(address ?? host);
  if (name === 'loopback' || name === 'unspecified') {
    return `${which} is the proxy's own loopback, where nothing is that whisper needs`;
  }
  if (final)
    return `${which} is closed under any rule: link-local, metadata, whisper itself, or the proxy`;
  const rules = address?.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return `${which} is not public; if whisper needs it, allow both: ${host}${port === HTTPS ? '' : `:${port}`} ${rules}`;
}
