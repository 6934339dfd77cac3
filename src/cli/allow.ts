import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration, ValueError } from '../config/values.ts';
import { type AllowAnswer, type AllowCommand, LONGEST_ALLOW_MS } from '../live/control.ts';
import { parseRule, RuleError } from '../policy/rules.ts';
import { formatTime } from '../report/times.ts';
import { ControlError, command, fail } from './ask-control.ts';
import { answerUsage } from './usage.ts';

const HELP = `
A rule is written as in EGRESS_ALLOW: huggingface.co, *.hf.co, example.org:80. Deny rules win over it. It is gone
after the time, or when the proxy restarts; connections that are open then stay, unless EGRESS_ON_RELOAD=end.

Exit status: 0 allowed, 1 the proxy cannot be asked, 2 usage.`;

/** Adds `whisper-proxy allow`, which allows rules for a time, to a program. */
export function addAllow(program: Command): void {
  answerUsage(program.command('allow'))
    .description('allow what rules cover for a time, without touching the configuration')
    .argument('<rule...>', 'what to allow')
    .requiredOption('--for <time>', 'how long, up to 24h, as in 30m', parseTime)
    .addHelpText('after', HELP)
    .action(async (texts: string[], { for: time }: { for: string }, self: Command) => {
      for (const text of texts) checkRule(text, self);
      await allow({ rules: texts, for: time });
    });
}

async function allow(order: AllowCommand): Promise<void> {
  try {
    const { status, body } = await command('/allow', order);
    const answer = body as AllowAnswer | { error: string };
    if ('until' in answer) process.stdout.write(describe(order.rules, answer));
    else fail(`the proxy refuses (${status}): ${answer.error}`);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    fail(error.message);
  }
}

function describe(rules: string[], { until }: AllowAnswer): string {
  return `allowed until ${formatTime(until, Date.now())}: ${rules.join(' ')}\n`;
}

function checkRule(text: string, self: Command): void {
  try {
    parseRule(text, 'allow', null);
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    self.error(`error: the rule ${text}: ${error.message}`);
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
