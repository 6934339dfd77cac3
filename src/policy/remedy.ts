import type { Reason, Verdict } from './decide.ts';
import { formatHostPort, type Host } from './host.ts';
import type { List } from './rules.ts';
import type { Target } from './target.ts';

/**
 * The rule that covers just this target, as an operator would write it.
 * @param target its port is null for a look-up, which does not tell: 443 is the likely one.
 */
export function ruleFor({ kind, host, port }: Host & { port: number | null }): string {
  return kind === 'name' && (port ?? 443) === 443 ? host : formatHostPort(host, port ?? 443);
}

/**
 * The line of an env file that adds one rule, in a group of its own: no name may stand there twice,
 * and EGRESS_ALLOW may be taken. Rules of different hosts and ports get groups of different names.
 * @param rule as `ruleFor` gives it.
 * @param taken the groups that the file has already.
 */
export function allowLine(rule: string, taken: ReadonlySet<string>): string {
  const group = rule
    .replace(/:443$/, '')
    .replace(/[[\]]/g, '')
    .replaceAll('_', '___')
    .replaceAll('-', '__')
    .replace(/[.:]/g, '_')
    .toUpperCase();
  let free = group;
  for (let number = 2; taken.has(free); number += 1) free = `${group}_${number}`;
  return `${variableOf('allow', free)}=${rule}`;
}

/** The variable that holds the rules of a list and group. @param group null: of none. */
export function variableOf(list: List, group: string | null): string {
  const variable = list === 'allow' ? 'EGRESS_ALLOW' : 'EGRESS_DENY';
  return group === null ? variable : `${variable}_${group}`;
}

/** The group that a rule's label begins with, or null; no rule has a space in it. */
export function groupOf(label: string): string | null {
  const space = label.indexOf(' ');
  return space === -1 ? null : label.slice(0, space);
}

/** The rule that a label names, without its group. */
export function textOf(label: string): string {
  return label.slice(label.indexOf(' ') + 1);
}

/**
 * The sentence that tells an operator why a target was denied and what would change that. It is
 * read by whoever sent the request too, so it never tells what a name resolves to.
 * @param target null where no target could be read.
 */
export function explainDenial(verdict: Verdict, target: Target | null): string {
  const where = target ? formatHostPort(target.host, target.port) : 'the target';
  const rule = target ? ruleFor(target) : '';
  switch (verdict.reason) {
    case 'not_allowed':
      if (verdict.invalid) return INVALID;
      return `${where} is not on the allowlist. To allow it, add ${rule} to EGRESS_ALLOW: EGRESS_ALLOW=${rule}`;
    case 'deny_rule':
      return `${where} is denied by the rule "${verdict.rule}". No allow rule wins over it: take it out of ${variableOf('deny', groupOf(verdict.rule ?? ''))} to change that.`;
    case 'non_public_address':
      return explainNonPublic(verdict, target, where, rule);
    default:
      return OTHER[verdict.reason ?? 'bad_target'] ?? `${where} cannot be reached.`;
  }
}

const INVALID =
  'The configuration of whisper-proxy is invalid, so everything is denied. "whisper-proxy health" lists the faults.';

/**
 * Why a target was denied, in a few words and without a remedy: for clients that show one line alone. It
 * tells no more than `explainDenial`.
 * @param target null where no target could be read.
 * @param detail the code of the error behind the verdict, or what is wrong with the target.
 */
export function shortDenial(verdict: Verdict, target: Target | null, detail = ''): string {
  const where = target ? formatHostPort(target.host, target.port) : 'the target';
  switch (verdict.reason) {
    case 'bad_target':
      return detail || 'the request cannot be read as HTTP';
    case 'not_allowed':
      if (verdict.invalid) return 'the configuration of whisper-proxy is invalid';
      return `${where} is not on the allowlist`;
    case 'deny_rule':
      return `${where} is denied by a rule`;
    case 'non_public_address':
      if (verdict.final) return `${where} is never reached`;
      return target?.kind === 'address'
        ? `${where} is not a public address`
        : `${where} has an address that is not public`;
    case 'no_sni':
      return `${where} carries TLS alone`;
    case 'dns_error':
      return `${where} cannot be looked up (${detail})`;
    case 'connect_failed':
      return `${where} cannot be reached (${detail})`;
    case 'upload_limit':
      return `too much was to be sent to ${where}`;
    case 'too_many_connections':
      return 'too many connections are open';
    case 'client_not_allowed':
      return 'this client may not use the proxy';
    default:
      return `${where} cannot be reached`;
  }
}

const OTHER: Partial<Record<Reason, string>> = {
  upload_limit:
    "More bytes were to be sent on one connection than EGRESS_MAX_UPLOAD, or that of the rule's group, lets through.",
  too_many_connections:
    'Too many connections are open. Try again later, or raise EGRESS_MAX_CONNECTIONS.',
  client_not_allowed:
    'This client may not use the proxy. EGRESS_CLIENTS and INGRESS_CLIENTS name those that may.',
};

function explainNonPublic(
  { final }: Verdict,
  target: Target | null,
  where: string,
  rule: string,
): string {
  if (final)
    return `${where} is an address that is never reached through the proxy, whatever the rules say.`;
  if (target?.kind === 'address') {
    return `${where} is not a public address. To allow it all the same, add ${rule} to EGRESS_ALLOW: EGRESS_ALLOW=${rule}`;
  }
  return `${where} has an address that is not public. To allow it all the same, add a rule for that address (it stands in the log) to EGRESS_ALLOW.`;
}
