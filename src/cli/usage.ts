import type { CommanderError } from 'commander';

/** EX_USAGE of sysexits(3) is 64, but 2 is what shells and most tools say. */
const USAGE_STATUS = 2;

/** For `exitOverride`: help ends with 0, whatever is wrong with the arguments with 2. */
export function exitOnUsage({ exitCode }: CommanderError): never {
  process.exit(exitCode === 0 ? 0 : USAGE_STATUS);
}
