import { json } from 'node:stream/consumers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Health } from '../admin/health.ts';
import { readAllowGroups } from '../config/groups.ts';
import { parseDuration, ValueError } from '../config/values.ts';
import { takenGroups } from '../report/remedies.ts';
import { formatReport } from '../report/report.ts';
import type { Snapshot } from '../report/snapshot.ts';
import { type AdminClient, adminClient } from './ask-admin.ts';
import { followProxy } from './denied-follow.ts';
import { printLines } from './denied-lines.ts';
import { followLog, reportLog } from './denied-log.ts';
import { endWithReader, outputLook, print } from './terminal.ts';
import { answerUsage } from './usage.ts';

const DAY_MS = 86_400_000;

const HELP = `
It asks the running proxy, which remembers since its start. What was before is in the log:

  podman exec whisper-proxy whisper-proxy denied
  journalctl --user -u whisper-proxy -o cat | podman exec -i whisper-proxy whisper-proxy denied -

Lines that are not of the log are skipped, and counted on standard error. With --json --follow, every decision
is a line of its own, from now on.

Exit status: 0 it could tell, 1 the proxy does not answer, 2 usage.`;

/** What the command is asked for. */
export interface DeniedOptions {
  since?: Period;
  follow?: boolean;
  json?: boolean;
  lines?: boolean;
  all?: boolean;
}

/** So long until now, as it was written and in milliseconds. */
export interface Period {
  text: string;
  milliseconds: number;
}

/** Adds `whisper-proxy denied`, with its options and its exit statuses, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('denied'))
    .description('tell what was denied, and the line that would allow it')
    .argument('[-]', 'read lines of the log from standard input', parseSource)
    .option('--since <time>', 'only what was within that time, as in 30m, 1h or 7d', parsePeriod)
    .option('--follow', 'go on with what is denied from now on')
    .option('--all', 'what was allowed too')
    .addOption(
      new Option('--lines', 'only the lines to add to whisper-proxy.env').conflicts([
        'follow',
        'json',
        'all',
      ]),
    )
    .option('--json', 'one JSON document instead of the table')
    .addHelpText('after', HELP)
    .action(denied);
}

async function denied(source: '-' | undefined, options: DeniedOptions): Promise<void> {
  endWithReader();
  if (source === '-') await (options.follow ? followLog(options) : reportLog(options));
  else await askProxy(adminClient(), options);
}

async function askProxy(admin: AdminClient, options: DeniedOptions): Promise<void> {
  try {
    if (options.follow) await followProxy(admin, options, () => reportProxy(admin, options));
    else await reportProxy(admin, options);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      `whisper-proxy: no decisions from ${admin.where}: ${detail}; see whether it runs (systemctl --user status whisper-proxy), or give its log to whisper-proxy denied -\n`,
    );
    process.exitCode = 1;
  }
}

/** Prints what the proxy remembers, and returns it. */
async function reportProxy(admin: AdminClient, options: DeniedOptions): Promise<Snapshot> {
  const snapshot = (await json(await admin.get('/decisions'))) as Snapshot;
  const { since, all = false, lines } = options;
  const cutoff = since ? new Date(Date.now() - since.milliseconds).toISOString() : '';
  const groups = snapshot.groups.filter(
    ({ decision, last }) => (all || decision !== 'allow') && last >= cutoff,
  );
  const failures = snapshot.failures.filter(({ last }) => last >= cutoff);
  if (options.json) {
    await print(`${JSON.stringify({ ...snapshot, groups, failures }, null, 2)}\n`);
    return snapshot;
  }
  if (lines) {
    const allowed = snapshot.rules.filter(({ list }) => list === 'allow');
    // Lines that were added since are not in force yet.
    const taken = new Set([...takenGroups(allowed), ...readAllowGroups(process.env)]);
    await printLines(groups, taken);
    return snapshot;
  }
  const { upstream: whisper } = (await json(await admin.get('/healthz'))) as Health;
  const period = since && snapshot.since < cutoff ? since.text : null;
  const source = { since: snapshot.since };
  const { rules, denies_all } = snapshot;
  const report = { groups, source, period, all, rules, denies_all, failures, whisper };
  await print(formatReport(report, outputLook()));
  return snapshot;
}

function parseSource(text: string): '-' {
  if (text === '-') return text;
  throw new InvalidArgumentError('It must be -, for lines of the log from standard input.');
}

function parsePeriod(text: string): Period {
  const [, days] = /^([1-9]\d{0,3})d$/.exec(text) ?? [];
  try {
    return { text, milliseconds: days ? Number(days) * DAY_MS : parseDuration(text) };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new InvalidArgumentError('It must be a time, as in 30m, 1h or 7d.');
  }
}
