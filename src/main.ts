#!/usr/bin/env -S node --
import { Command } from 'commander';
import { answerUsage } from './cli/usage.ts';
import { readVersion } from './version.ts';

/** A command's module adds it to the program. Only the one that is called is loaded: health is asked every minute. */
const COMMANDS = new Map<string, () => Promise<{ add: (program: Command) => void }>>([
  ['serve', () => import('./cli/serve.ts')],
  ['demo', () => import('./cli/demo.ts')],
  ['health', () => import('./cli/health.ts')],
  ['allow', () => import('./cli/allow.ts')],
  ['check', () => import('./cli/check.ts')],
  ['denied', () => import('./cli/denied.ts')],
  ['reload', () => import('./cli/reload.ts')],
  ['verify', () => import('./cli/verify.ts')],
]);

const program = answerUsage(new Command('whisper-proxy'))
  .description(
    'A way in to whisper by name, and an allowlisted way out. The README has every variable.',
  )
  .version(readVersion(), '--version', 'print the version');

const [, , ...given] = process.argv;
const args = given.length > 0 ? given : ['serve'];
const called = COMMANDS.get(args[0] ?? '');
// Help, and a slip, name them all.
for (const load of called ? [called] : COMMANDS.values()) (await load()).add(program);
await program.parseAsync(args, { from: 'user' });
