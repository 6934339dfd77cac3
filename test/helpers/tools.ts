import { spawnSync } from 'node:child_process';

/**
 * Whether a tool is not on this machine, for `skipIf`.
 * @param question the argument that makes it answer with status 0.
 */
export function isMissing(tool: string, question = '--version'): boolean {
  return spawnSync(tool, [question]).status !== 0;
}
