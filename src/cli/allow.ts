import { type Command, InvalidArgumentError } from 'commander';
import { Client } from 'undici';
import { readControlSocket } from '../config/config.ts';
import { parseDuration, ValueError } from '../config/values.ts';
import { type AllowAnswer, type AllowCommand, LONGEST_ALLOW_MS } from '../live/control.ts';
import { parseRule, RuleError } from '../policy/rules.ts';
import { formatTime } from '../report/times.ts';
import { exitOn } from './exit.ts';
import { exitOnUsage } from './usage.ts';

const TIMEOUT_MS = 3_000;

const HELP = `
A rule is written as in EGRESS_ALLOW: huggingface.co, *.hf.co, example.org:80. Deny rules win over it. It is gone
after the time, or when the proxy restarts; connections that are open then stay, unless EGRESS_ON_RELOAD=end.

Exit status: 0 allowed, 1 the proxy cannot be asked, 2 usage.`;

/** Adds `whisper-proxy allow`, which allows rules for a time, to a program. */
export function addAllow(program: Command): void {
  program
    .command('allow')
    .description('allow what rules cover for a time, without touching the configuration')
    .argument('<rule...>', 'what to allow')
    .requiredOption('--for <time>', 'how long, up to 24h, as in 30m', parseTime)
    .addHelpText('after', HELP)
    .exitOverride(exitOnUsage)
    .action(async (texts: string[], { for: time }: { for: string }, command: Command) => {
      for (const text of texts) checkRule(text, command);
      await allow({ rules: texts, for: time });
    });
}

async function allow(order: AllowCommand): Promise<void> {
  const socketPath = readOrExit();
  if (socketPath === null) {
    fail('CONTROL_SOCKET is not set, so no proxy takes commands; run this in its container');
    return;
  }
  const client = new Client('http://control', { socketPath });
  try {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: '/allow',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    const answer = (await body.json()) as AllowAnswer | { error: string };
    if ('until' in answer) process.stdout.write(describe(order.rules, answer));
    else fail(`the proxy refuses (${statusCode}): ${answer.error}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    fail(`no proxy takes commands at ${socketPath} (CONTROL_SOCKET): ${code}; is it running?`);
  } finally {
    await client.close();
  }
}

function describe(rules: string[], { until }: AllowAnswer): string {
  return `allowed until ${formatTime(until, Date.now())}: ${rules.join(' ')}\n`;
}

function fail(sentence: string): void {
  process.stderr.write(`whisper-proxy: ${sentence}\n`);
  process.exitCode = 1;
}

function checkRule(text: string, command: Command): void {
  try {
    parseRule(text, 'allow', null);
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    command.error(`error: the rule ${text}: ${error.message}`);
  }
}

/** Checks the time, and leaves it as it is. */
function parseTime(text: string): string {
  try {
    if (parseDuration(text) > LONGEST_ALLOW_MS) throw new ValueError('it must be at most 24h');
    return text;
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new InvalidArgumentError(error.message);
  }
}

function readOrExit(): string | null {
  try {
    return readControlSocket(process.env);
  } catch (error) {
    return exitOn(error);
  }
}
