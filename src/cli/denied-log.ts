import { readAllowGroups } from '../config/groups.ts';
import { FailureTally } from '../report/failures.ts';
import { splitLines } from '../report/lines.ts';
import { type LoggedDecision, type LoggedFailure, readLogLine } from '../report/log-line.ts';
import { remedyFor } from '../report/remedies.ts';
import { formatReport } from '../report/report.ts';
import { Tally } from '../report/tally.ts';
import type { DeniedOptions } from './denied.ts';
import { Follower } from './denied-follow.ts';
import { printLines } from './denied-lines.ts';
import { outputLook, print } from './terminal.ts';

/** Characters; the log's own lines have less than two thousand. */
const LONGEST_LINE = 65_536;

/** Tells what the log on standard input has, once it ends. */
export async function reportLog(options: DeniedOptions): Promise<void> {
  const { since, all = false, json } = options;
  const tally = new Tally();
  const failed = new FailureTally();
  const lines = await readLog(options, (logged) => {
    const { time, count } = logged;
    if ('failure' in logged) failed.add(logged.failure, time, count);
    else tally.add(logged.decision, time, count);
  });
  const tallied = tally.groups();
  const known = { policy: null, taken: readAllowGroups(process.env) };
  const groups = tallied.map((group) => ({ ...group, remedy: remedyFor(group, known) }));
  if (options.lines) {
    await printLines(groups, known.taken);
    return;
  }
  const failures = failed.groups();
  if (json) {
    await print(`${JSON.stringify({ lines, groups, failures }, null, 2)}\n`);
    return;
  }
  const period = since?.text ?? null;
  const unknown = { rules: [], failures, whisper: null };
  await print(formatReport({ groups, source: { lines }, period, all, ...unknown }, outputLook()));
}

/** Shows each decision of the log on standard input as it comes. */
export async function followLog(options: DeniedOptions): Promise<void> {
  const follower = new Follower(options.json ?? false, {
    policy: null,
    taken: readAllowGroups(process.env),
  });
  await readLog(options, (logged) => follower.show(logged));
}

/** @returns how many lines there were. Those that are not of the log are told on standard error. */
async function readLog(
  { since, all = false }: DeniedOptions,
  take: (logged: LoggedDecision | LoggedFailure) => Promise<void> | void,
): Promise<number> {
  const cutoff = since ? new Date(Date.now() - since.milliseconds).toISOString() : '';
  let lines = 0;
  let foreign = 0;
  for await (const line of splitLines(process.stdin, LONGEST_LINE)) {
    if (line?.trim() === '') continue;
    lines += 1;
    const read = line === null ? 'foreign' : readLogLine(line);
    if (read === 'foreign') foreign += 1;
    if (typeof read === 'string' || read.time < cutoff) continue;
    const isAllowed = 'decision' in read && read.decision.decision === 'allow';
    if (all || !isAllowed) await take(read);
  }
  if (foreign > 0) {
    const which = foreign === 1 ? 'one line that is' : `${foreign} lines that are`;
    const left = foreign === 1 ? 'was left out' : 'were left out';
    process.stderr.write(
      `whisper-proxy: ${which} not the proxy's own (podman's, perhaps) ${left}\n`,
    );
  }
  return lines;
}
