import { once } from 'node:events';
import type { Look } from '../report/look.ts';

/** What standard output wants now: plain and unabridged where it is no terminal. */
export function outputLook(): Look {
  const { isTTY, columns } = process.stdout;
  return {
    colour: isTTY === true && !process.env.NO_COLOR,
    width: (isTTY && columns) || null,
    now: Date.now(),
  };
}

/** Writes to standard output, and waits while it is full. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Ends the program in good order when whoever reads its output has read enough, as `head` does. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}
