import type { Command, CommanderError } from 'commander';

/** EX_USAGE of sysexits(3) is 64, but 2 is what shells and most tools say. */
const USAGE_STATUS = 2;

/**
 * Makes a command answer wrong arguments with one sentence on standard error and exit status 2. Help
 * and the version end with 0.
 */
export function answerUsage(command: Command): Command {
  return command
    .configureOutput({
      outputError: (text, write) => write(`whisper-proxy: ${sentence(text)}; ${hint(command)}\n`),
    })
    .exitOverride(exitOnUsage);
}

function exitOnUsage({ exitCode }: CommanderError): never {
  process.exit(exitCode === 0 ? 0 : USAGE_STATUS);
}

/** What commander says, which may be two lines, as one sentence without its final stop. */
function sentence(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
}

function hint(command: Command): string {
  const names = [];
  for (let each: Command | null = command; each; each = each.parent) names.unshift(each.name());
  return `see ${names.join(' ')} --help`;
}
