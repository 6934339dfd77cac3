import { classifyAddress } from './addresses.ts';
import type { Reason, Verdict } from './decide.ts';
import { formatHostPort, type Host } from './host.ts';
import { type Preset, presetFor } from './presets.ts';
import type { List } from './rules.ts';
import type { Target } from './target.ts';

const HTTPS = 443;

/**
 * The rule that covers just this target, as an operator would write it.
 * @param target its port is null for a look-up, which does not tell: 443 is the likely one.
 */
export function ruleFor({ kind, host, port }: Host & { port: number | null }): string {
  return kind === 'name' && (port ?? HTTPS) === HTTPS ? host : formatHostPort(host, port ?? HTTPS);
}

/** What `allowLine` has to know of the file that its line is for. */
export interface FileContents {
  /** The groups that have allow rules. */
  taken: ReadonlySet<string>;
  /** The allow rules, as they are written; null where they are not known. */
  rules?: readonly string[] | null;
}

const EMPTY_FILE: FileContents = { taken: new Set() };

/**
 * The line of an env file that allows a target, in a group of its own: no name may stand there twice,
 * and EGRESS_ALLOW may be taken. For a host of a preset it allows the whole preset, since what needs
 * one of its hosts needs all of them. This is the one place that makes such lines.
 * @param target its port is null for a look-up.
 * @param addresses those that the name has and that are not public: they need rules of their own.
 */
export function allowLine(
  target: Host & { port: number | null },
  file: FileContents = EMPTY_FILE,
  addresses: readonly string[] = [],
): string {
  const rule = ruleFor(target);
  const preset = presetOf(target);
  if (preset !== null) {
    const missing = preset.rules.filter((each) => !file.rules?.includes(each));
    return lineOf(preset.group, missing.length > 0 ? missing : preset.rules, file.taken);
  }
  const port = target.port ?? HTTPS;
  const rules = [rule, ...addresses.map((host) => ruleFor({ kind: 'address', host, port }))];
  const missing = rules.filter((each) => !file.rules?.includes(each));
  const wanted = missing.length > 0 ? missing : rules;
  return lineOf(groupFor(wanted[0] ?? rule), wanted, file.taken);
}

/**
 * The line that belongs beside one of `allowLine`: the limit on uploads that a preset has, in the same
 * group; null where nobody can upload anything.
 */
export function limitLine(target: Host & { port: number | null }, line: string): string | null {
  const maxUpload = presetOf(target)?.maxUpload ?? null;
  return maxUpload === null ? null : limitLineFor(line, maxUpload);
}

/** The line that limits uploads in the group of an allow line. @param size as EGRESS_MAX_UPLOAD takes it. */
export function limitLineFor(line: string, size: string): string {
  const [variable = ''] = line.split('=');
  return `${variable.replace('ALLOW', 'MAX_UPLOAD')}=${size}`;
}

/** The preset that a target belongs to, or null. */
export function presetOf({ kind, host, port }: Host & { port: number | null }): Preset | null {
  return kind === 'name' && (port ?? HTTPS) === HTTPS ? presetFor(host) : null;
}

/** The line that sets rules in a group. @param taken groups that there are already; the name evades them. */
export function lineOf(
  group: string,
  rules: readonly string[],
  taken: ReadonlySet<string>,
): string {
  let free = group;
  for (let number = 2; taken.has(free); number += 1) free = `${group}_${number}`;
  return `${variableOf('allow', free)}=${rules.join(' ')}`;
}

/** The name of a group for one rule: rules of different hosts and ports have different ones. */
export function groupFor(rule: string): string {
  return rule
    .replace(/:443$/, '')
    .replace(/^\*\./, '')
    .replace(/[[\]]/g, '')
    .replaceAll('_', '___')
    .replaceAll('-', '__')
    .replace(/[.:]/g, '_')
    .toUpperCase();
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
  switch (verdict.reason) {
    case 'not_allowed':
      if (verdict.invalid) return INVALID;
      return `${where} is not on the allowlist.${target ? toAllow(target) : ''}`;
    case 'deny_rule':
      return `${where} is denied by the rule "${verdict.rule}". No allow rule wins over it: take it out of ${variableOf('deny', groupOf(verdict.rule ?? ''))} to change that.`;
    case 'non_public_address':
      return explainNonPublic(verdict, target, where);
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

function explainNonPublic({ final }: Verdict, target: Target | null, where: string): string {
  if (final)
    return `${where} is an address that is never reached through the proxy, whatever the rules say.`;
  if (target?.kind === 'address') {
    const sentence = `${where} is not a public address.`;
    return isNearby(target.host)
      ? `${sentence} It is the proxy itself.`
      : `${sentence} If it is yours and whisper needs it, add to whisper-proxy.env: ${allowLine(target)}`;
  }
  return `${where} has an address that is not public. If it is yours and whisper needs it, "whisper-proxy denied" has the line that allows it.`;
}

function toAllow(target: Target): string {
  return ` To allow it, add to whisper-proxy.env: ${allowLine(target)}`;
}

/** Whether an address is on this side of every network: loopback, unspecified. No remedy should open it. */
export function isNearby(address: string): boolean {
  return ['loopback', 'unspecified'].includes(classifyAddress(address).name);
}
