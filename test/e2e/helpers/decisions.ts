import { expect } from 'vitest';
import type { Lab } from './lab.ts';

/** What egress has decided, from the proxy's journal. */
export function decisions(journal: string): Record<string, unknown>[] {
  return journal
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ event }) => event === 'egress');
}

/** Waits until the journal has a decision with these fields. */
export async function isDecided(
  lab: Lab,
  since: number,
  fields: Record<string, unknown>,
): Promise<void> {
  await expect
    .poll(async () => decisions(await lab.journal('whisper-proxy', since)), { timeout: 10_000 })
    .toContainEqual(expect.objectContaining(fields));
}
