import { ConfigError } from '../config/faults.ts';
import { ListenError } from '../net/listener.ts';

/** EX_CONFIG of sysexits(3). */
export const EX_CONFIG = 78;

/**
 * Ends the program on an error that a person can mend, with one message and the fitting status.
 * @throws the error, if it is not of that kind.
 */
export function exitOn(error: unknown): never {
  if (!(error instanceof ConfigError || error instanceof ListenError)) throw error;
  process.stderr.write(`whisper-proxy: ${error.message}\n`);
  process.exit(error instanceof ConfigError ? EX_CONFIG : 1);
}
