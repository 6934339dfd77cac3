import type { Health } from '../admin/health.ts';
import { formatTime } from '../report/times.ts';
import { adminClient } from './ask-admin.ts';

/** `whisper-proxy health`: asks the admin listener; exit status 0 if the proxy is well, 1 if not. */
export async function health(): Promise<void> {
  const admin = adminClient();
  try {
    const body = await admin.get('/healthz');
    process.stdout.write(describe((await body.json()) as Health));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    process.stderr.write(`whisper-proxy: no health from ${admin.where}: ${detail}\n`);
    process.exitCode = 1;
  }
}

function describe({ listeners, upstream, mode, config, timed, warnings }: Health): string {
  const clock = (time: string) => formatTime(time, Date.now());
  const where = Object.entries(listeners).map(([name, address]) => `${name} ${address}`);
  const state =
    upstream.error === undefined ? upstream.state : `${upstream.state} (${upstream.error})`;
  const rules = `mode ${mode}, configuration ${config.hash} of ${clock(config.loaded)}`;
  const lines = [`ok: ${where.join(', ')}; ${rules}; whisper at ${upstream.address} is ${state}`];
  for (const { rule, until } of timed) lines.push(`allowed until ${clock(until)}: ${rule}`);
  if (config.faults.length > 0) {
    lines.push('warning: a later configuration has faults, so the one before stays in force:');
    lines.push(...config.faults.map((fault) => `  ${fault}`));
  }
  return [...lines, ...warnings.map((warning) => `warning: ${warning}`), ''].join('\n');
}
