#!/usr/bin/env -S node --
import { Command } from 'commander';
import { addAllow } from './cli/allow.ts';
import { addCheck } from './cli/check.ts';
import { demo } from './cli/demo.ts';
import { addDenied } from './cli/denied.ts';
import { health } from './cli/health.ts';
import { addReload } from './cli/reload.ts';
import { serve } from './cli/serve.ts';
import { answerUsage } from './cli/usage.ts';
import { addVerify } from './cli/verify.ts';
import { readVersion } from './version.ts';

const program = answerUsage(new Command('whisper-proxy'))
  .description(
    'A way in to whisper by name, and an allowlisted way out. The README has every variable.',
  )
  .version(readVersion(), '--version', 'print the version');

answerUsage(program.command('serve'))
  .description('run the proxy, configured by the environment and CONFIG_FILE (the default)')
  .option('--local', 'try it on loopback: a stand-in for whisper, unless UPSTREAM is set')
  .action(serve);
answerUsage(program.command('demo'))
  .description('show on loopback what the proxy lets through and what it denies, once')
  .action(demo);
answerUsage(program.command('health'))
  .description('ask the running proxy whether it is well; for HealthCmd')
  .action(health);
addAllow(program);
addCheck(program);
addDenied(program);
addReload(program);
addVerify(program);

const [, , ...args] = process.argv;
await program.parseAsync(args.length > 0 ? args : ['serve'], { from: 'user' });
