import type { TalliedFailure } from './failures.ts';
import { type Look, paintDecision } from './look.ts';
import type { DecisionGroup } from './snapshot.ts';
import { formatRemedy, formatWhere } from './table.ts';
import { formatTime } from './times.ts';

/**
 * A decision as a row for whoever follows them.
 * @param count how many of the same a line of the log stands for.
 * @param isNew what can be done about it has not been told yet.
 */
export function formatRow(group: DecisionGroup, count: number, isNew: boolean, look: Look): string {
  const { decision, reason, rule, last } = group;
  const word = paintDecision(look, decision, decision.padEnd(10));
  const more = count > 1 ? `  (${count} times)` : '';
  const row = `${formatTime(last, look.now)}  ${word}  ${formatWhere(group).padEnd(28)}  ${reason ?? rule ?? ''}${more}`;
  return `${[row.trimEnd(), ...(isNew ? formatRemedy(group, new Set(), look) : [])].join('\n')}\n`;
}

/** A failure of ingress as a row for whoever follows them. @param count how many it stands for. */
export function formatFailureRow(
  { reason, status, error, client }: TalliedFailure,
  time: string,
  count: number,
  look: Look,
): string {
  const word = paintDecision(look, 'deny', 'failed'.padEnd(10));
  const what = `${status}${client === null ? '' : ` to ${client}`} (ingress)`;
  const why = error === null ? reason : `${reason} (${error})`;
  const more = count > 1 ? `  (${count} times)` : '';
  return `${formatTime(time, look.now)}  ${word}  ${what.padEnd(28)}  ${why}${more}\n`;
}
