import { afterEach } from 'vitest';

const pending: (() => unknown)[] = [];

/** Runs after the test, also when it failed; the last one first. */
export function cleanUp(work: () => unknown): void {
  pending.push(work);
}

afterEach(async () => {
  for (const work of pending.splice(0).reverse()) await work();
});
