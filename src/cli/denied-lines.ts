import { formatAllowLines } from '../report/allow-lines.ts';
import type { DecisionGroup } from '../report/snapshot.ts';
import { print } from './terminal.ts';

/** Prints the lines to add; that there are none, on standard error. @param taken the groups of the file. */
export async function printLines(
  groups: readonly DecisionGroup[],
  taken: ReadonlySet<string>,
): Promise<void> {
  const lines = formatAllowLines(groups, taken);
  if (lines === '') process.stderr.write('whisper-proxy: there is no line to add\n');
  else await print(lines);
}
