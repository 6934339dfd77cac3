import { readdirSync, readFileSync } from 'node:fs';
import type { Lab } from './lab.ts';

const FIXTURES = new URL('../fixtures/', import.meta.url);
/** The user's own, which must stay up whatever happens to whisper. */
export const NEIGHBOURS = ['mongo', 'session-manager', 'apache'];
export const OURS = ['whisper-proxy', 'whisper-gate', 'whisper'];

/** Writes the units of a folder of fixtures, each changed as asked. */
export async function writeUnits(
  lab: Lab,
  folder: 'units' | 'old-units',
  change = (unit: string) => unit,
): Promise<void> {
  const url = new URL(`${folder}/`, FIXTURES);
  for (const name of readdirSync(url)) {
    await lab.write(name, change(readFileSync(new URL(name, url), 'utf8')));
  }
}

/** The command line by which an operator without a registry installs. */
export function install(lab: Lab): string {
  return `/quadlets/install --image /images/whisper-proxy.tar ${lab.scope.replace('--user', '')}`;
}

/** Adds a line to every container's unit, as users do who have to. */
export async function addToContainers(lab: Lab, line: string): Promise<void> {
  await lab.sh(`sed -i '/^ContainerName=/a ${line}' ${lab.units}/*.container`);
}

/** Starts units, and waits until whisper answers by its name. */
export async function start(lab: Lab, ...units: string[]): Promise<void> {
  await lab.systemctl('daemon-reload');
  await lab.systemctl('start', ...units);
  await answers(lab);
}

/** Waits until session-manager reaches whisper by its name. */
export async function answers(lab: Lab, seconds = 60): Promise<void> {
  await lab.until(
    fromSessionManager('curl --silent --fail --max-time 2 http://whisper:7860/'),
    seconds,
  );
}

export function fromSessionManager(command: string): string {
  return `podman exec session-manager ${command}`;
}

/** What the watcher in whisper has written: how many rounds were closed, and what left. */
export async function tries(lab: Lab): Promise<{ closed: number; open: string[] }> {
  const lines = (await lab.sh('cat ~/tries/log')).split('\n');
  return {
    closed: lines.filter((line) => line.includes('closed so far')).length,
    open: lines.filter((line) => line.includes('OPEN')),
  };
}
