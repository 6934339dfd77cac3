import { type ChildProcess, execFileSync } from 'node:child_process';

/** Ends a child and its children, if it still runs; it must have a process group of its own. */
export function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  // The number of one that has ended may be somebody else's by now.
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL');
}

/** Runs iproute2. */
export function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Sets variables of the kernel in a network namespace. */
export function sysctl(name: string, ...assignments: string[]): void {
  ip('netns', 'exec', name, 'sysctl', '-qw', ...assignments);
}
