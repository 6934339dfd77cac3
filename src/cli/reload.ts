import type { Command } from 'commander';
import type { NotReloaded, Reloaded } from '../live/reload.ts';
import { ControlError, command, fail } from './ask-control.ts';
import { EX_CONFIG } from './exit.ts';
import { answerUsage } from './usage.ts';

/** Lines of a list; the log has all of it. */
const SHOWN = 20;

const HELP = `
The running proxy reads its configuration file again, as on SIGHUP, and says what has changed. If the file has a
fault, nothing changes. It is the ExecReload= of whisper-proxy.service.

Exit status: 0 the file is in force, 1 the proxy cannot be asked, 2 usage, 78 the file has faults.`;

/** Adds `whisper-proxy reload`, which makes the running proxy read its configuration again, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('reload'))
    .description('make the running proxy read its configuration file again')
    .addHelpText('after', HELP)
    .action(reload);
}

async function reload(): Promise<void> {
  try {
    const { status, body } = await command('/reload');
    const answer = body as Reloaded | NotReloaded | { error: string };
    if ('error' in answer) fail(`the proxy has reloaded nothing (${status}): ${answer.error}`);
    else if ('faults' in answer) fail(describeFaults(answer), EX_CONFIG);
    else process.stdout.write(describe(answer));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    fail(error.message);
  }
}

function describeFaults({ config, faults, denies_all }: NotReloaded): string {
  const what = denies_all
    ? 'the configuration is still invalid, so egress goes on denying everything'
    : `nothing has changed, configuration ${config} stays in force: the configuration that was read now has faults`;
  return [`${what}:`, ...faults.map((fault) => `  ${fault}`)].join('\n');
}

function describe(reloaded: Reloaded): string {
  const { config, previous, file, mode, added, removed, changed, next_start } = reloaded;
  const change = config === previous ? 'as before' : `instead of ${previous}`;
  return [
    `configuration ${config} is in force, ${change}: ${file ?? 'the environment'}, mode ${mode}`,
    ...list('added', added),
    ...list('removed', removed),
    ...(changed.length > 0 ? [`changed: ${changed.join(', ')}`] : []),
    ...(next_start.length > 0 ? [`takes effect at the next start: ${next_start.join(', ')}`] : []),
    ...describeOpen(reloaded),
    '',
  ].join('\n');
}

function list(what: string, labels: string[]): string[] {
  const lines = labels.slice(0, SHOWN).map((label) => `${what}: ${label}`);
  const left = labels.length - lines.length;
  return left > 0 ? [...lines, `${what}: ${left} more`] : lines;
}

function describeOpen({ open_denied_now, open_ended }: Reloaded): string[] {
  if (open_denied_now === 0) return [];
  const fate = open_ended > 0 ? 'ended' : 'they stay open (EGRESS_ON_RELOAD=keep)';
  return [`open connections that the rules deny now: ${open_denied_now}, ${fate}`];
}
