import { type Command, InvalidArgumentError } from 'commander';
import { formatSize, parseDuration, parseSize, ValueError } from '../config/values.ts';
import {
  type AllowAnswer,
  type AllowCommand,
  type AllowList,
  type EndAnswer,
  LONGEST_ALLOW_MS,
} from '../live/orders.ts';
import { parseRule, RuleError } from '../policy/rules.ts';
import { formatTime } from '../report/times.ts';
import { ask, ControlError, command, fail } from './ask-control.ts';
import { answerUsage } from './usage.ts';

const HELP = `
A rule is written as in EGRESS_ALLOW: huggingface.co, *.hf.co, example.org:80. It expires after the time, or when the
proxy restarts; connections that are open then stay, unless EGRESS_ON_RELOAD=end. A rule that would stay denied all the
same (a deny rule wins over it, its address is not public) is not taken, and a line says why.

Uploads have the limit of EGRESS_MAX_UPLOAD. --max-upload sets another one, --group takes that of a group of the
configuration; with both, the smaller one counts.

  whisper-proxy allow huggingface.co '*.hf.co' --for 30m --max-upload 256KiB
  whisper-proxy allow --list
  whisper-proxy allow --end huggingface.co

Exit status: 0 done, 1 something stays denied, or the proxy cannot be asked, 2 usage.`;

interface AllowOptions {
  for?: string;
  group?: string;
  maxUpload?: string;
  list?: true;
  end?: true;
}

/** Adds `whisper-proxy allow`, which allows rules for a time, to a program. */
export function add(program: Command): void {
  answerUsage(program.command('allow'))
    .description('allow what rules cover for a time, without touching the configuration')
    .argument('[rule...]', 'what to allow, or to end')
    .option('--for <time>', 'how long, up to 24h, as in 30m', parseTime)
    .option('--group <group>', 'with the limit on uploads of this group')
    .option('--max-upload <size>', 'with this limit on uploads, as in 256KiB', parseLimit)
    .option('--list', 'list what is allowed for a time')
    .option('--end', 'end these rules now; without a rule, all of them')
    .addHelpText('after', HELP)
    .action(async (texts: string[], options: AllowOptions, self: Command) => {
      for (const text of texts) checkRule(text, self);
      try {
        await act(texts, options, self);
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        fail(error.message);
      }
    });
}

async function act(texts: string[], options: AllowOptions, self: Command): Promise<void> {
  const { for: time, group, maxUpload: max_upload, list: isList, end: isEnd } = options;
  const isAllow = time !== undefined || group !== undefined || max_upload !== undefined;
  if (Number(isAllow) + Number(isList ?? false) + Number(isEnd ?? false) > 1) {
    self.error('error: --list and --end stand alone: neither goes with the other, nor with --for');
  }
  if (isList) {
    if (texts.length > 0) self.error('error: --list takes no rule');
    await list();
  } else if (isEnd) {
    await end(texts);
  } else if (texts.length === 0) {
    self.error("error: missing argument 'rule'");
  } else if (time === undefined) {
    self.error("error: required option '--for <time>' not specified");
  } else {
    const limits = {
      ...(group === undefined ? {} : { group }),
      ...(max_upload === undefined ? {} : { max_upload }),
    };
    await allow({ rules: texts, for: time, ...limits });
  }
}

async function allow(order: AllowCommand): Promise<void> {
  const { status, body } = await command('/allow', order);
  const answer = body as AllowAnswer | { error: string };
  if ('error' in answer) {
    fail(`the proxy refuses (${status}): ${answer.error}`);
    return;
  }
  const clock = formatTime(answer.until, Date.now());
  for (const { rule, allowed, why, maxUpload } of answer.rules) {
    if (allowed) {
      const parts = [rule, ...(why === null ? [] : [why]), describeLimit(maxUpload)];
      process.stdout.write(`allowed until ${clock}: ${parts.join(', ')}\n`);
    } else fail(`${rule} stays denied: ${why}`);
  }
}

async function list(): Promise<void> {
  const { rules } = (await ask('/allow')) as AllowList;
  const lines = rules.map(
    ({ rule, until, maxUpload }) =>
      `allowed until ${formatTime(until, Date.now())}: ${rule}, ${describeLimit(maxUpload)}`,
  );
  process.stdout.write(`${lines.join('\n') || 'nothing is allowed for a time'}\n`);
}

async function end(rules: string[]): Promise<void> {
  const { status, body } = await command('/allow/end', { rules });
  const answer = body as EndAnswer | { error: string };
  if ('error' in answer) fail(`the proxy refuses (${status}): ${answer.error}`);
  else if (answer.ended.length === 0) process.stdout.write('nothing is allowed for a time\n');
  else process.stdout.write(`no longer allowed: ${answer.ended.join(' ')}\n`);
}

function describeLimit(bytes: number | null): string {
  return bytes === null
    ? 'uploads without a limit (--max-upload 256KiB sets one)'
    : `uploads of at most ${formatSize(bytes)} a connection`;
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
  return check(text, () => {
    if (parseDuration(text) > LONGEST_ALLOW_MS) throw new ValueError('it must be at most 24h');
  });
}

/** Checks the size, and leaves it as it is. */
function parseLimit(text: string): string {
  return check(text, () => parseSize(text));
}

function check(text: string, read: () => unknown): string {
  try {
    read();
    return text;
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new InvalidArgumentError(error.message);
  }
}
