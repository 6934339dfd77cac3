import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { whyNoLab } from './lab.ts';

/** Builds what the labs are made of, once for all of them. */
export default function setup(): void {
  if (whyNoLab() !== null) return;
  for (const [script, ...words] of [['rootfs', 'cni', 'netavark'], ['images']]) {
    execFileSync(fileURLToPath(new URL(`../lab/${script}`, import.meta.url)), words, {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
}
