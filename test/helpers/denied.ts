import { request as httpRequest } from 'node:http';
import { Cli, LOOPBACK } from './cli.ts';
import { DENIED } from './decisions.ts';
import { cleanUp } from './proxy-cleanup.ts';

/** The built program. */
export const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const SERVE = { ...LOOPBACK, UPSTREAM: 'embedded', SHUTDOWN_TIMEOUT: '1ms' };
/** For a run with a standard input. */
export const PIPED = { stdio: ['pipe', 'pipe', 'pipe'] } as const;

/** A run of the built program that the test ends. */
export function run(args: string[], env: Record<string, string> = {}, options = {}): Cli {
  const cli = new Cli(args, env, options);
  cleanUp(() => cli.kill());
  return cli;
}

/** Runs `denied -` on lines of a log, to its end. */
export async function readLog(input: string, args: string[] = []) {
  const cli = run(['denied', '-', ...args], {}, PIPED);
  cli.child.stdin?.end(input);
  return { status: await cli.exit(), stdout: cli.stdout, stderr: cli.stderr };
}

/** A line of the log, of a denial. */
export function line(difference: Record<string, unknown> = {}, time = new Date()): string {
  return `${JSON.stringify({ level: 'warn', time, ...DENIED, ...difference })}\n`;
}

/** A running proxy that knows nobody, and what was asked of it. */
export async function serve(env: Record<string, string> = {}) {
  const cli = run([], { ...SERVE, ...env });
  const { admin, egress, ingress } = await cli.addresses();
  const [host, port] = egress.split(':');
  const ask = (uri: string) =>
    new Promise<void>((resolve, reject) => {
      const outgoing = httpRequest({ host, port, path: uri, agent: false });
      outgoing.once('error', reject).once('response', (response) => {
        response.resume().once('end', resolve);
      });
      outgoing.end();
    });
  return { cli, admin: { ADMIN_LISTEN: admin }, ingress, ask };
}
