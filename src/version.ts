import { readFileSync } from 'node:fs';

/**
 * The version of this program, as package.json beside `src` or `dist` has it.
 * @throws Error if that file is missing: then the installation is incomplete.
 */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
