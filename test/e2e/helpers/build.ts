import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SUITES, whyNoLab } from './lab.ts';

/** Builds what the labs are made of, once for all of them. */
export default function setup(): void {
  if (whyNoLab() !== null) return;
  for (const [script, ...words] of [['rootfs', ...SUITES], ['images']]) {
    const path = fileURLToPath(new URL(`../lab/${script}`, import.meta.url));
    const { status, stdout, stderr } = spawnSync(path, words, { encoding: 'utf8' });
    if (status !== 0)
      throw new Error(`${path} failed: ${stdout.slice(-4000)}${stderr.slice(-4000)}`);
  }
}
