import { isIP, isIPv6 } from 'node:net';
import type { Via } from '../log/decision-log.ts';
import { classifyAddress } from '../policy/addresses.ts';
import {
  decideAddresses,
  decideLookup,
  decideTarget,
  type Policy,
  type Reason,
} from '../policy/decide.ts';
import { type Host, parseHost } from '../policy/host.ts';
import {
  allowLine,
  type FileContents,
  groupOf,
  isNearby,
  limitLine,
  presetOf,
  textOf,
  variableOf,
} from '../policy/remedy.ts';
import { explainNoise } from './noise.ts';
import type { Remedy, TalliedGroup } from './snapshot.ts';
import { isLikeVerify } from './verify-probes.ts';

/** What is known of the configuration that a remedy is for. */
export interface Known {
  /** The rules in force; null where only lines of a log are at hand. */
  policy: Policy | null;
  /** The groups that have allow rules. */
  taken: ReadonlySet<string>;
  /** The configuration is invalid, and everything is denied for that. */
  denies_all?: boolean;
}

const RULES_DECIDED: readonly (Reason | null)[] = [
  'not_allowed',
  'deny_rule',
  'non_public_address',
];
const HTTPS = 443;

/** The groups of the rules that have these labels. */
export function takenGroups(rules: readonly { label: string }[]): Set<string> {
  return new Set(rules.map(({ label }) => groupOf(label)).filter((group) => group !== null));
}

/**
 * What an operator can do about denials: the line to add where a rule could let them through, why
 * not where none could or should.
 * @returns null for what was allowed.
 */
export function remedyFor(group: Readonly<TalliedGroup>, known: Known): Remedy | null {
  if (group.decision === 'allow') return null;
  const isUsual = group.decision === 'deny' && [null, 80, HTTPS].includes(group.port);
  const noise =
    group.event === 'egress' && isUsual && group.host !== null ? explainNoise(group.host) : null;
  const plain = { line: null, limit: null, noise: false };
  if (noise !== null) return { ...plain, text: noise, noise: true };
  if (isLikeVerify(group)) return { ...plain, text: VERIFY, verify: true };
  const text = allowedByNow(group, known.policy);
  if (text !== null) return { ...plain, text };
  return { ...plain, ...EXPLANATIONS[group.reason ?? 'bad_target'](group, known) };
}

type Explain = (
  group: Readonly<TalliedGroup>,
  known: Known,
) => Pick<Remedy, 'text'> & Partial<Pick<Remedy, 'line' | 'limit'>>;

const EXPLANATIONS: Record<Reason, Explain> = {
  not_allowed: (group, known) => {
    const { policy, denies_all = policy?.invalid } = known;
    if (denies_all) return { text: 'the configuration is invalid, so everything is denied' };
    if (group.host === null) return { text: MANY };
    const host = readHost(group.host);
    if (host === null) return { text: 'no rule can cover it' };
    if (host.kind === 'address' && isNearby(host.host)) return { text: nearby(host.host) };
    const target = { ...host, port: group.port };
    const line = allowLine(target, fileOf(known));
    const preset = presetOf(target);
    if (preset !== null) {
      const limit = limitLine(target, line);
      const upload = limit === null ? '' : ', and the limit keeps recordings from going there';
      return { line, limit, text: `${preset.what} need all of these hosts${upload}` };
    }
    const text =
      group.decision === 'would_deny'
        ? `${UNCOVERED}; EGRESS_MODE=report let it through`
        : UNCOVERED;
    return { text, line };
  },
  deny_rule: ({ rule }) => {
    if (rule === null) return { text: MANY };
    const variable = variableOf('deny', groupOf(rule));
    return {
      text: `a deny rule covers it, and no allow rule wins over that; to change it, take ${textOf(rule)} out of ${variable}`,
    };
  },
  non_public_address: (group, known) => {
    const address = addressOf(group);
    if (address === null) return { text: 'an address that is not public' };
    if (group.final || classifyAddress(address).never) {
      return {
        text: `${address} is closed under any rule: link-local, metadata, whisper itself, or the proxy`,
      };
    }
    if (isNearby(address)) return { text: nearby(address) };
    const host = group.host === null ? null : readHost(group.host);
    const line =
      host?.kind === 'name'
        ? allowLine({ ...host, port: group.port }, fileOf(known), [address])
        : allowLine({ kind: 'address', host: address, port: group.port }, fileOf(known));
    return {
      text: `${address} is not a public address; open it only if it is one of yours that whisper needs`,
      line,
    };
  },
  bad_target: ({ event }) => ({
    text:
      event === 'ingress'
        ? 'not a request for whisper, or one that has been here before'
        : 'it cannot be read as a host and port, so no rule can cover it',
  }),
  sni_mismatch: () => ({
    text: 'the tunnel was used for another server than it was opened for ("sni" in the log); no rule should allow that',
  }),
  no_sni: () => ({
    text: 'no TLS with a server name; what is not TLS needs another port or an address, or EGRESS_REQUIRE_SNI=false',
  }),
  upload_limit: ({ rule }, { policy }) => ({
    text: `more was to be sent on one connection than ${limitOf(rule, policy)} lets through; raise it if that was no upload`,
  }),
  too_many_connections: ({ event, via }) => ({ text: tooMany(event, via) }),
  dns_error: ({ event, host, error }) => ({
    text:
      event === 'ingress'
        ? `${host ?? 'a name'} in INGRESS_CLIENTS cannot be looked up${inBrackets(error)}, so its client was not recognised; look at the name server of its network`
        : `no rule denied it: the name cannot be looked up${inBrackets(error)}, so look at the network`,
  }),
  connect_failed: ({ address, error }) => ({
    text: `no rule denied it: ${address ?? 'it'} cannot be reached${inBrackets(error)}, so look at the network`,
  }),
  client_not_allowed: ({ event, client, error }) => {
    const who = client ?? 'the client';
    const variable = event === 'ingress' ? 'INGRESS_CLIENTS' : 'EGRESS_CLIENTS';
    return {
      text:
        error === null
          ? `${who} is not in ${variable}; add it there if it should be`
          : `a name in ${variable} cannot be looked up (${error}), so ${who} may not have been recognised; look at the name server`,
    };
  },
  foreign_redirect: () => ({
    text: 'whisper answered with a redirect to another place, which is never passed on',
  }),
};

function tooMany(event: TalliedGroup['event'], via: readonly Via[]): string {
  if (event === 'ingress') {
    return 'more connections than ingress takes at once, or more requests on one of them; they were closed without an answer';
  }
  if (via.length > 0 && via.every((each) => each === 'dns')) {
    return 'more look-ups, or connections for them, than the name server takes at once; whoever asks tries again';
  }
  return 'as many connections were open as EGRESS_MAX_CONNECTIONS lets through; raise it if whisper needs more';
}

const MANY = 'many hosts, counted together';
/** What the reason `not_allowed` says already. */
export const UNCOVERED = 'no allow rule covers it';
const VERIFY = 'as whisper-proxy verify asks for it, to see that it is denied';

function nearby(address: string): string {
  return `${address} is the proxy itself, where nothing is that whisper needs; no rule should open it`;
}

function fileOf({ policy, taken }: Known): FileContents {
  return { taken, rules: policy?.allow.map(({ label }) => textOf(label)) ?? null };
}

/** Rules may have changed since a denial. A listener's or a client's address is told by `final` alone. */
function allowedByNow(group: Readonly<TalliedGroup>, policy: Policy | null): string | null {
  if (policy === null || group.event !== 'egress' || group.host === null || group.final)
    return null;
  if (!RULES_DECIDED.includes(group.reason)) return null;
  const host = readHost(group.host);
  if (host === null) return null;
  const verdict =
    group.port === null
      ? decideLookup(policy, host.host)
      : decideTarget(policy, { ...host, port: group.port }, () => false);
  if (verdict.decision !== 'allow') return null;
  const { address } = group;
  const isStillClosed =
    address !== null &&
    isIP(address) !== 0 &&
    decideAddresses(policy, verdict, [address], group.port ?? HTTPS, () => false).decision ===
      'deny';
  return isStillClosed ? null : `allowed by now, by the rule "${verdict.rule}"`;
}

function addressOf({ host, address }: Readonly<TalliedGroup>): string | null {
  const candidates = [address, host].map((text) => (text === null ? null : readHost(text)));
  return candidates.find((candidate) => candidate?.kind === 'address')?.host ?? null;
}

function limitOf(rule: string | null, policy: Policy | null): string {
  const group = rule === null ? null : groupOf(rule);
  // Rules that are allowed for a time have a group that no variable can have.
  if (group === null || !/^[A-Z0-9_]+$/.test(group)) return 'EGRESS_MAX_UPLOAD';
  if (policy === null) return `EGRESS_MAX_UPLOAD_${group} (or EGRESS_MAX_UPLOAD)`;
  const hasOwn = Object.hasOwn(policy.maxUpload.groups, group);
  return hasOwn ? `EGRESS_MAX_UPLOAD_${group}` : 'EGRESS_MAX_UPLOAD';
}

function readHost(text: string): Host | null {
  return parseHost(isIPv6(text) ? `[${text}]` : text);
}

function inBrackets(error: string | null): string {
  return error === null ? '' : ` (${error})`;
}
