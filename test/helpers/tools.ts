import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Whether a tool is not on this machine, for `skipIf`.
 * @param question the argument that makes it answer with status 0.
 */
export function isMissing(tool: string, question = '--version'): boolean {
  return spawnSync(tool, [question]).status !== 0;
}

/**
 * Whether a port below 1024 cannot be listened on here, or loopback has one address alone, for `skipIf`:
 * a server name (SNI) is for port 443, so its target must be there, at an address of its own.
 */
export function isReserved(port: number): boolean {
  if (process.platform !== 'linux') return true;
  const first = readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8');
  return process.getuid?.() !== 0 && port < Number(first);
}

/** Whether Debian's Python has a module; another one on the PATH may not. */
export function hasPythonModule(name: string): boolean {
  return spawnSync('/usr/bin/python3', ['-c', `import ${name}`]).status === 0;
}
