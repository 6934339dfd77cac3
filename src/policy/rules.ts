import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { parse as parseDomain } from 'tldts';
import { covers, type Network, networkAddress, parseNetwork, touches } from './addresses.ts';
import { findLookalike, findMixedScripts, findNonLetter } from './characters.ts';
import { parseHost } from './host.ts';
import { parsePort, type Target } from './target.ts';

export type List = 'allow' | 'deny';

/** One entry of an allowlist or deny list. */
export interface Rule {
  list: List;
  /** As the log shows it: the group, if there is one, and the rule as the operator wrote it. */
  label: string;
  group: string | null;
  /** null: every port. */
  port: number | null;
  /** Bytes that may be sent on one connection; only rules that are allowed for a time have it, others their group's. */
  maxUpload?: number;
  match:
    | { kind: 'name'; name: string }
    | { kind: 'suffix'; suffix: string }
    | { kind: 'network'; network: Network };
}

/** A rule that cannot be read; the message is a sentence with the remedy. */
export class RuleError extends Error {
  readonly code = 'BAD_RULE';
}

const HTTPS = 443;
const BRACKETED = /^(\[[^\]/]*\])(?:\/(\d{1,3}))?(?::(\*|\d+))?$/;
const PLAIN = /^([^:/[\]]+)(?:\/(\d{1,2}))?(?::(\*|\d+))?$/;

/**
 * Reads one rule: `host`, `host:80`, `host:*`, `*.suffix`, `192.0.2.7`, `198.51.100.0/24:443`,
 * `[2001:db8::1]:443`, `[2001:db8::]/32:443`. Without a port an allow rule means 443, a deny rule
 * every port.
 * @param group the `<GROUP>` of the variable it stands in, or null.
 * @throws RuleError
 */
export function parseRule(text: string, list: List, group: string | null): Rule {
  const lookalike = findLookalike(text);
  if (lookalike !== null) throw new RuleError(lookalike);
  if (/[;|&]/.test(text)) throw new RuleError(explainShape(text));
  const [, host, prefix, port] = BRACKETED.exec(text) ?? PLAIN.exec(text) ?? [];
  if (host === undefined) throw new RuleError(explainShape(text));
  return {
    list,
    label: group === null ? text : `${group} ${text}`,
    group,
    port: rulePort(port, list),
    match: host.includes('*') ? suffixMatch(host, prefix) : hostMatch(host, prefix, port, list),
  };
}

/** The first rule that matches a target: a name by name rules only, an address by address rules only. */
export function findRule(rules: readonly Rule[], target: Target): Rule | undefined {
  return rules.find((rule) => matches(rule, target));
}

/** Every rule that matches a target. */
export function findRules(rules: readonly Rule[], target: Target): Rule[] {
  return rules.filter((rule) => matches(rule, target));
}

/** Every name rule that matches a name on some port. */
export function findNameRules(rules: readonly Rule[], name: string): Rule[] {
  return rules.filter((rule) => nameMatches(rule, name));
}

/** Whether a name lies below another one. */
export function isBelow(name: string, above: string): boolean {
  return name.endsWith(`.${above}`);
}

/** Whether a rule matches every name below a domain, on its port. */
export function coversAllBelow({ match }: Rule, domain: string): boolean {
  return match.kind === 'suffix' && (match.suffix === domain || isBelow(domain, match.suffix));
}

/** The first address rule that covers an address and port; a deny rule, in whatever form it comes. */
export function findAddressRule(
  rules: readonly Rule[],
  address: string,
  port: number,
): Rule | undefined {
  return rules.find((rule) => addressMatches(rule, address, port));
}

/** Two rules with the same key cover the same, however they were written. */
export function ruleKey({ match, port }: Rule): string {
  return `${targetsOf(match)}:${port ?? '*'}`;
}

/** Whether a rule covers everything that another one does. */
export function coversRule(rule: Rule, other: Rule): boolean {
  const isPortCovered = rule.port === null || rule.port === other.port;
  return isPortCovered && coversMatch(rule.match, other.match);
}

/** Whether there is anything that two rules cover both. */
export function overlaps(rule: Rule, other: Rule): boolean {
  const samePort = rule.port === null || other.port === null || rule.port === other.port;
  return samePort && (coversMatch(rule.match, other.match) || coversMatch(other.match, rule.match));
}

function targetsOf(match: Rule['match']): string {
  if (match.kind === 'name') return match.name;
  if (match.kind === 'suffix') return `*.${match.suffix}`;
  return `${networkAddress(match.network)}/${match.network.prefix}`;
}

function coversMatch(match: Rule['match'], other: Rule['match']): boolean {
  if (match.kind === 'network') {
    if (other.kind !== 'network') return false;
    const { network } = other;
    return match.network.prefix <= network.prefix && covers(match.network, networkAddress(network));
  }
  if (match.kind === 'name') return other.kind === 'name' && other.name === match.name;
  if (other.kind === 'name') return other.name.endsWith(`.${match.suffix}`);
  return other.kind === 'suffix' && `.${other.suffix}`.endsWith(`.${match.suffix}`);
}

function matches(rule: Rule, { kind, host, port }: Target): boolean {
  return kind === 'address'
    ? addressMatches(rule, host, port)
    : portMatches(rule, port) && nameMatches(rule, host);
}

function addressMatches({ list, match, ...rule }: Rule, address: string, port: number): boolean {
  if (match.kind !== 'network' || !portMatches(rule, port)) return false;
  return list === 'deny' ? touches(match.network, address) : covers(match.network, address);
}

function portMatches(rule: Pick<Rule, 'port'>, port: number): boolean {
  return rule.port === null || rule.port === port;
}

function nameMatches({ match }: Rule, name: string): boolean {
  if (match.kind === 'name') return match.name === name;
  return match.kind === 'suffix' && isBelow(name, match.suffix);
}

function rulePort(text: string | undefined, list: List): number | null {
  if (text === undefined) return list === 'deny' ? null : HTTPS;
  if (text === '*') return null;
  const port = parsePort(text);
  if (port === null) {
    throw new RuleError('the port must be a number from 1 to 65535, or * for every port');
  }
  return port;
}

function suffixMatch(text: string, prefix: string | undefined): Rule['match'] {
  if (text === '*') {
    throw new RuleError(
      '* would match every host; name the hosts, or *.suffix for those below one',
    );
  }
  const name = text.startsWith('*.') ? canonicalName(text.slice(2)) : null;
  if (name === null || prefix !== undefined) {
    throw new RuleError('a wildcard must stand for whole labels in front, as in *.example.org');
  }
  // The private section counts as well: anybody can get a name below github.io.
  const { publicSuffix } = parseDomain(name, { allowPrivateDomains: true });
  if (publicSuffix === name) {
    throw new RuleError(
      `anybody can get a name below ${name}, a public suffix; name the hosts, or go one label deeper`,
    );
  }
  return { kind: 'suffix', suffix: name };
}

function hostMatch(
  text: string,
  prefix: string | undefined,
  port: string | undefined,
  list: List,
): Rule['match'] {
  const parsed = parseHost(text);
  if (parsed?.kind === 'address') return networkMatch(parsed.host, prefix, port, list);
  if (prefix !== undefined) throw new RuleError('only an address can have a /prefix');
  const name = canonicalName(text);
  if (name === null) {
    throw new RuleError(explainName(text));
  }
  return { kind: 'name', name };
}

function networkMatch(
  address: string,
  prefix: string | undefined,
  port: string | undefined,
  list: List,
): Rule['match'] {
  const bits = address.includes(':') ? 128 : 32;
  const length = prefix === undefined ? bits : Number(prefix);
  if (length > bits) throw new RuleError(`the prefix must be from 1 to ${bits}`);
  if (length === 0 && list === 'allow') {
    throw new RuleError('/0 would match every address; name the networks');
  }
  const network = parseNetwork(`${address}/${length}`);
  const first = networkAddress(network);
  if (first !== address) {
    const block = first.includes(':') ? `[${first}]/${length}` : `${first}/${length}`;
    const whole = port === undefined ? block : `${block}:${port}`;
    throw new RuleError(`it has bits set to the right of its prefix; did you mean ${whole}?`);
  }
  return { kind: 'network', network };
}

/** A name as a rule may write it, IDN included, in the form that targets have. */
function canonicalName(text: string): string | null {
  // Invisible characters vanish in the conversion: the rule would not be what it looks like.
  // So do line breaks, and what a URL has other uses for.
  if (/\p{Cf}|[\s%#?\\@/]/u.test(text)) return null;
  const isAscii = /^[\x21-\x7e]*$/.test(text);
  if (!isAscii) checkLetters(text);
  const ascii = isAscii ? text : domainToASCII(text);
  const parsed = parseHost(ascii);
  return parsed?.kind === 'name' ? parsed.host : null;
}

/** @throws RuleError for an international name that is not what it looks like. */
function checkLetters(name: string): void {
  const fault =
    findNonLetter(name) ??
    name
      .split('.')
      .map(findMixedScripts)
      .find((found) => found !== null);
  if (fault) throw new RuleError(fault);
}

const SCHEMES: Record<string, string> = { http: ':80', https: '' };
const V6 = '[0-9a-f:]*:[0-9a-f:.]*';

/** What is wrong with a text that has not the shape of a rule, and what may have been meant. */
function explainShape(text: string): string {
  const [, scheme = '', host, port] =
    /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#:@]+)(:\d+)?(?:[/?#].*)?$/i.exec(text) ?? [];
  if (host !== undefined) {
    const meant = `${host}${port === ':443' ? '' : (port ?? SCHEMES[scheme.toLowerCase()] ?? '')}`;
    return `write the host alone, without scheme and path; did you mean ${meant}?`;
  }
  if (text.includes('://')) return 'write the host alone, without scheme and path';
  if (/[;|&]/.test(text)) {
    const meant = text.split(/[;|&]+/).filter((item) => item !== '');
    return `rules are separated by spaces or commas; did you mean ${meant.join(' ')}?`;
  }
  const [, before, from, to] = /^(.*):(\d+)(?:-|\.\.|:)(\d+)$/.exec(text) ?? [];
  if (before !== undefined && isIPv6(text) === false && !before.includes(':')) {
    return `a rule has one port, or all of them; did you mean ${before}:${from} ${before}:${to}, or ${before}:*?`;
  }
  const [, named, service = ''] = /^([^:]+):(https?)$/i.exec(text) ?? [];
  if (named !== undefined) {
    return `a port is a number; did you mean ${named}${SCHEMES[service.toLowerCase()]}?`;
  }
  if (isIPv6(text)) return `an IPv6 address needs brackets: [${text}]`;
  const [, network = '', prefix, rest = ''] =
    new RegExp(`^(${V6})/(\\d{1,3})(:(?:\\*|\\d+))?$`, 'i').exec(text) ?? [];
  if (isIPv6(network)) {
    return `an IPv6 network needs brackets; did you mean [${network}]/${prefix}${rest}?`;
  }
  if (/^[^/[\]]*[a-z][^/[\]]*\//i.test(text)) {
    return `write the host alone, without a path; did you mean ${text.slice(0, text.indexOf('/'))}?`;
  }
  if (/^\[[^\]]*\/\d+\]/.test(text))
    return 'the prefix stands behind the brackets: [2001:db8::]/32';
  return 'it must be host, host:port, host:*, *.suffix, an address or a network';
}

/** What is wrong with a name that is none, and what may have been meant. */
function explainName(text: string): string {
  if (/^\d{1,5}$/.test(text)) {
    return 'a port alone is no rule; write one rule for each port, as in example.org:80 example.org:8080';
  }
  if (/^\.[^.]/.test(text)) {
    const name = text.slice(1);
    return `did you mean *.${name} for every host below it, or ${name} for that host?`;
  }
  if (text.includes('@')) return 'write the host alone, without a user';
  return 'it must be a host name, *.suffix, an IPv4 address, or an IPv6 address in brackets';
}
