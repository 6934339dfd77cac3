import { onTestFinished } from 'vitest';

/** Runs after the test, also when it failed; the last one first. */
export function cleanUp(work: () => unknown): void {
  onTestFinished(async () => {
    await work();
  });
}
