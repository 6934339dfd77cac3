import { json } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { Health } from '../admin/health.ts';
import { formatTime } from '../report/times.ts';
import { adminClient } from './ask-admin.ts';
import { answerUsage } from './usage.ts';

/** Adds `whisper-proxy health`, for HealthCmd, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('health'))
    .description('ask the running proxy whether it is well; for HealthCmd')
    .action(health);
}

/** `whisper-proxy health`: asks the admin listener; exit status 0 if the proxy is well, 1 if not. */
async function health(): Promise<void> {
  const admin = adminClient();
  try {
    process.stdout.write(describe((await json(await admin.get('/healthz'))) as Health));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    process.stderr.write(`whisper-proxy: no health from ${admin.where}: ${detail}\n`);
    process.exitCode = 1;
  }
}

function describe({ version, listeners, upstream, mode, config, timed, warnings }: Health): string {
  const clock = (time: string) => formatTime(time, Date.now());
  const where = Object.entries(listeners).map(([name, address]) => `${name} ${address}`);
  const state =
    upstream.error === undefined ? upstream.state : `${upstream.state} (${upstream.error})`;
  const rules = `mode ${mode}, configuration ${config.hash} of ${clock(config.loaded)}`;
  const ok = `ok: version ${version}; ${where.join(', ')}; ${rules}; whisper at ${upstream.address} is ${state}`;
  const faults = config.faults.map((fault) => `  ${fault}`);
  const told = warnings.map((warning) => `warning: ${warning}`);
  // The first of the warnings is about the faults.
  if (config.denies_all) return [...told.splice(0, 1), ...faults, ok, ...told, ''].join('\n');
  const lines = [ok];
  for (const { rule, until } of timed) lines.push(`allowed until ${clock(until)}: ${rule}`);
  if (faults.length > 0) {
    lines.push('warning: a later configuration has faults, so the one before stays in force:');
  }
  return [...lines, ...faults, ...told, ''].join('\n');
}
