import { readFileSync } from 'node:fs';
import { type Probe, single } from './probe.ts';

const SETS = ['CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb'];

/**
 * What this process may do, as the kernel tells it: nothing, if it runs as whisper does.
 * @param readStatus gives the text of /proc/self/status (proc(5)).
 */
export function privilegeProbes(
  readStatus: () => string = () => readFileSync('/proc/self/status', 'utf8'),
): Probe[] {
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(readStatus())?.[1];
  const probe = (name: string, title: string, closed: (value: string) => boolean) =>
    single('privileges', title, 'closed', async () => {
      const value = field(name);
      if (value === undefined)
        return { state: 'unknown', detail: `no ${name} in /proc/self/status` };
      return { state: closed(value) ? 'closed' : 'open', detail: `${name} ${value}` };
    });
  return [
    ...SETS.map((name) => probe(name, `capabilities, ${name}`, (value) => /^0+$/.test(value))),
    probe('NoNewPrivs', 'more privileges by execve', (value) => value === '1'),
    probe('Seccomp', 'system calls without a filter', (value) => value === '2'),
  ];
}
