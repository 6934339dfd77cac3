import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.ts';
import { boundLines } from './bounded-lines.ts';

export type { Logger };

/**
 * The program's log: one JSON object a line, the time in ISO 8601, the level a word.
 * @param destination where lines go; by default standard output, written before the call returns,
 * so that a decision is on record before its answer leaves.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    boundLines(destination ?? standardOutput()),
  );
}

/** A logger for what must be on record, whatever LOG_LEVEL is now and after a reload. */
export function onRecord(logger: Logger): Logger {
  const record = logger.child({}, { level: 'trace' });
  // A second time: a child whose level is never changed would go along with its parent's.
  record.level = 'info';
  return record;
}

/**
 * Standard output, written before `write` returns. pino goes on without a log when its reader has gone; we
 * do not: what is not logged is not done, so the program ends.
 */
export function standardOutput(): DestinationStream {
  const destination = pino.destination({ fd: 1, sync: true });
  destination.on('error', endWithoutLog);
  return destination;
}

/** Ends the program, since its log can no longer be written. */
export function endWithoutLog(error: Error): never {
  process.stderr.write(`whisper-proxy: the log cannot be written (${error.message}), so it ends\n`);
  process.exit(1);
}
