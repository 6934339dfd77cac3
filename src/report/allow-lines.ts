import { parseHost } from '../policy/host.ts';
import { groupFor, limitLineFor, lineOf, presetOf } from '../policy/remedy.ts';
import { parseRule, RuleError } from '../policy/rules.ts';
import type { DecisionGroup } from './snapshot.ts';

const HTTPS = 443;
const PREFIX = 'EGRESS_ALLOW_';
const NOT_PUBLIC =
  '# Not public addresses: take a # away only if the address is yours and whisper needs it.';

/**
 * The lines that allow what was denied, for the end of an env file: no name stands there twice, and names
 * that differ in one label get one wildcard. What has no remedy is left out: noise, attempts of `verify`.
 * What leads to an address that is not public comes as a comment.
 * @param taken the groups that the file has already.
 * @returns an empty line, and each with its newline; nothing if there is nothing to add.
 */
export function formatAllowLines(
  groups: readonly DecisionGroup[],
  taken: ReadonlySet<string>,
): string {
  const used = new Set(taken);
  const add = (group: string, rules: string): string => {
    const line = lineOf(group, [rules], used);
    used.add(line.slice(PREFIX.length, line.indexOf('=')));
    return line;
  };
  /** Groups by their rules, and how much may be uploaded there. */
  const fixed = new Map<string, { group: string; maxUpload: string | null }>();
  const notPublic = new Map<string, string>();
  const names = new Map<number, Set<string>>();
  for (const { reason, host, port, remedy } of groups) {
    if (remedy === null || remedy.line === null) continue;
    const [variable = '', rules = ''] = remedy.line.split(/=(.*)/s);
    const group = variable.slice(PREFIX.length);
    const parsed = host === null ? null : parseHost(host);
    const preset = parsed === null ? null : presetOf({ ...parsed, port });
    if (reason === 'non_public_address') notPublic.set(rules, group);
    else if (parsed?.kind === 'name' && preset === null) {
      const ofPort = names.get(port ?? HTTPS) ?? new Set();
      names.set(port ?? HTTPS, ofPort.add(parsed.host));
    } else fixed.set(rules, { group, maxUpload: preset?.maxUpload ?? null });
  }
  const lines = [...fixed].flatMap(([rules, { group, maxUpload }]) => {
    const line = add(group, rules);
    return maxUpload === null ? [line] : [line, limitLineFor(line, maxUpload)];
  });
  for (const [port, hosts] of names) {
    for (const host of gather([...hosts].sort())) {
      const rule = port === HTTPS ? host : `${host}:${port}`;
      lines.push(add(groupFor(rule), rule));
    }
  }
  if (notPublic.size > 0) lines.push(NOT_PUBLIC);
  for (const [rules, group] of notPublic) lines.push(`#${add(group, rules)}`);
  // The file may end without a newline; what is appended would belong to its last line.
  return lines.length === 0 ? '' : ['', ...lines, ''].join('\n');
}

/** Names, those that differ in one label replaced by a wildcard, if one may stand there. */
function gather(names: readonly string[]): string[] {
  const families = new Map<string, { suffix: string; members: string[] }>();
  for (const name of names) {
    const labels = name.split('.');
    for (let index = 0; index < labels.length - 1; index += 1) {
      const key = labels.with(index, '*').join('.');
      const family = families.get(key) ?? {
        suffix: labels.slice(index + 1).join('.'),
        members: [],
      };
      family.members.push(name);
      families.set(key, family);
    }
  }
  const largestFirst = [...families.values()].sort(
    (a, b) => b.members.length - a.members.length || b.suffix.length - a.suffix.length,
  );
  const left = new Set(names);
  const wildcards: string[] = [];
  for (const { suffix, members } of largestFirst) {
    if (members.filter((name) => left.has(name)).length < 2 || !isRule(`*.${suffix}`)) continue;
    wildcards.push(`*.${suffix}`);
    for (const name of left) if (name.endsWith(`.${suffix}`)) left.delete(name);
  }
  return [...wildcards, ...left];
}

/** A wildcard over a public suffix is none. */
function isRule(text: string): boolean {
  try {
    parseRule(text, 'allow', null);
    return true;
  } catch (error) {
    if (error instanceof RuleError) return false;
    throw error;
  }
}
