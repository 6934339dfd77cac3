import { textOf } from '../policy/remedy.ts';
import { RELOAD_COMMAND } from './commands.ts';
import { type FailureGroup, formatFailures, type WhisperState } from './failures.ts';
import { type Look, wrap } from './look.ts';
import type { DecisionGroup, RuleUse } from './snapshot.ts';
import { formatTable, formatWhere } from './table.ts';
import { formatTime, zoneName } from './times.ts';

/** What there is to tell of decisions, and where it comes from. */
export interface Report {
  groups: readonly DecisionGroup[];
  /** The running proxy, which knows since its start, or lines of the log, so many. */
  source: { since: string } | { lines: number };
  /** The last so long, as in `1h`; null: all of it. */
  period: string | null;
  /** What was allowed is told too. */
  all: boolean;
  rules: readonly RuleUse[];
  /** The configuration is invalid: that comes before everything else. */
  denies_all?: boolean;
  /** How whisper has failed at ingress. */
  failures: readonly FailureGroup[];
  /** How whisper is now; null where that is not known. */
  whisper: WhisperState | null;
}

const INVALID = `the configuration is invalid, so egress denies everything: "whisper-proxy health" lists the faults; mend them, then: ${RELOAD_COMMAND}`;

const APPLY = `Put such lines into whisper-proxy.env, then: ${RELOAD_COMMAND}`;

/** A report for people, with its final newline. */
export function formatReport(report: Report, look: Look): string {
  const groups = report.groups.filter(({ remedy }) => !remedy?.noise && !remedy?.verify);
  const isRemediable = groups.some(({ remedy }) => remedy !== null && remedy.line !== null);
  const blocks = [
    ...(report.denies_all ? [wrap(INVALID, look).join('\n')] : []),
    wrap(headline(report, look.now), look).join('\n'),
    ...formatFailures(report.failures, report.whisper, look),
    ...(groups.length > 0 ? [formatTable(groups, look)] : []),
    ...formatNoise(report.groups, look),
    ...formatVerify(report.groups, look),
    ...formatTimed(report.rules, look),
    ...(isRemediable ? [wrap(APPLY, look).join('\n')] : []),
  ];
  return `${blocks.join('\n\n')}\n`;
}

function headline({ groups, source, period, all }: Report, now: number): string {
  const what = all ? 'decided' : 'denied';
  const start = groups.length > 0 ? what : `nothing was ${what}`;
  const order = groups.length > 0 ? ', newest first' : '';
  const last = period === null ? '' : ` in the last ${period}`;
  if ('lines' in source) {
    if (source.lines === 0) return `${start}: standard input was empty (podman exec needs -i)`;
    const lines = source.lines === 1 ? 'one line' : `${source.lines} lines`;
    return `${start}${last}, by ${lines} of the log${order} (times: ${zoneName(now)})`;
  }
  const since = `since ${formatTime(source.since, now)} ${zoneName(now)} (the proxy's start)`;
  if (period === null || groups.length === 0) return `${start}${last || ` ${since}`}${order}`;
  return `${start}${last}${order}; counts are ${since}`;
}

function formatNoise(groups: readonly DecisionGroup[], look: Look): string[] {
  const noise = groups.filter(({ remedy }) => remedy?.noise);
  const texts = new Set(noise.map(({ remedy }) => remedy?.text));
  return [...texts].map((text) => {
    const ofThis = noise.filter(({ remedy }) => remedy?.text === text);
    const hosts = new Map<string, number>();
    for (const group of ofThis) {
      const where = formatWhere(group);
      hosts.set(where, (hosts.get(where) ?? 0) + group.count);
    }
    const list = [...hosts].map(([where, count]) => `${where} (${times(count)})`);
    return wrap(`noise: ${list.join(', ')}: ${text}`, look).join('\n');
  });
}

/** All of them: whisper could have made its own attempts look like these. */
function formatVerify(groups: readonly DecisionGroup[], look: Look): string[] {
  const probes = groups.filter(({ remedy }) => remedy?.verify);
  if (probes.length === 0) return [];
  const [first = ''] = probes.map((group) => group.first).sort();
  const last =
    probes
      .map((group) => group.last)
      .sort()
      .at(-1) ?? '';
  const hosts = new Map<string, number>();
  for (const group of probes) {
    const where = formatWhere(group);
    hosts.set(where, (hosts.get(where) ?? 0) + group.count);
  }
  const list = [...hosts].map(([where, count]) => (count === 1 ? where : `${where} (${count})`));
  const when = `from ${formatTime(first, look.now)} to ${formatTime(last, look.now)}`;
  const text = `like verify's attempts, ${when} (if you did not run it then, it was whisper): ${list.join(', ')}`;
  return [wrap(text, look).join('\n')];
}

function formatTimed(rules: readonly RuleUse[], look: Look): string[] {
  const lines = rules.flatMap(({ label, until }) =>
    until === null ? [] : [`allowed until ${formatTime(until, look.now)}: ${textOf(label)}`],
  );
  return lines.length > 0 ? [lines.join('\n')] : [];
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}
