import type { Policy } from '../policy/decide.ts';
import { parseRule, type Rule, RuleError } from '../policy/rules.ts';
import type { Assignment, Fault } from './env-file.ts';
import { type Environment, readSources, type Sources } from './sources.ts';
import { parseSize, splitList, ValueError } from './values.ts';
import { RULE_LIST, UPLOAD_LIMIT } from './variables.ts';

/**
 * Reads every rule of a list, whatever its group. What is none becomes a fault.
 * @param check throws RuleError for a rule that cannot work.
 */
export function readRules(
  { assignments, faults }: Sources,
  list: 'ALLOW' | 'DENY',
  check: (rule: Rule) => void = () => undefined,
): Rule[] {
  return [...assignments.values()].flatMap((assignment) => {
    const [, ofList, group = null] = RULE_LIST.exec(assignment.name) ?? [];
    if (ofList !== list) return [];
    return splitList(assignment.value).flatMap((value) => {
      const parse = () => {
        const rule = parseRule(value, list === 'ALLOW' ? 'allow' : 'deny', group);
        check(rule);
        return rule;
      };
      return attempt({ ...assignment, value }, faults, parse) ?? [];
    });
  });
}

/** Reads EGRESS_MAX_UPLOAD and that of every group. What is no size, or limits nothing, becomes a fault. */
export function readUploadLimits({ assignments, faults }: Sources): Policy['maxUpload'] {
  const allowsSomething = [...assignments.keys()].some((name) => name.startsWith('EGRESS_ALLOW'));
  const limits: Policy['maxUpload'] & { groups: Record<string, number> } = {
    default: null,
    groups: {},
  };
  for (const assignment of assignments.values()) {
    const match = UPLOAD_LIMIT.exec(assignment.name);
    if (match === null) continue;
    const [, group] = match;
    const bytes = attempt(assignment, faults, () => parseSize(assignment.value));
    if (group === undefined) limits.default = bytes;
    else if (bytes !== null) limits.groups[group] = bytes;
    // A slip of the pen here would leave the group that was meant without its limit.
    if (allowsSomething && group !== undefined && !assignments.has(`EGRESS_ALLOW_${group}`)) {
      const message = `there is no EGRESS_ALLOW_${group} that it could limit; set that, or take this out`;
      faults.push({ ...assignment, message });
    }
  }
  return limits;
}

/** What was read, or null and one more fault. */
function attempt<Value>(assignment: Assignment, faults: Fault[], read: () => Value): Value | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RuleError || error instanceof ValueError)) throw error;
    faults.push({ ...assignment, message: error.message });
    return null;
  }
}

/** The groups that have an allow rule in what is configured by now, however faulty the rest is. */
export function readAllowGroups(env: Environment): Set<string> {
  const names = [...readSources(env).assignments.keys()];
  return new Set(
    names.flatMap((name) => {
      const [, list, group] = RULE_LIST.exec(name) ?? [];
      return list === 'ALLOW' && group !== undefined ? [group] : [];
    }),
  );
}
