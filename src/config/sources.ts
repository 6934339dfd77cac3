import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { findLookalike } from '../policy/characters.ts';
import { type Assignment, type Fault, parseEnvFile } from './env-file.ts';
import { isKnown, isOurs, isRuntime, nearestName } from './variables.ts';

/** Where the image expects the file; there it may be missing, since the environment may say it all. */
export const DEFAULT_CONFIG_FILE = '/etc/whisper-proxy/whisper-proxy.env';

/** Far more than anybody writes by hand. */
const MAX_BYTES = 2 ** 20;

/** More are not read either, and a file that is none at all has one a line. */
export const MAX_FAULTS = 50;

export type Environment = Readonly<Record<string, string | undefined>>;

/** What was set, by name, with the faults that the sources themselves have. */
export interface Sources {
  /** The configuration file that was read, or null. */
  file: string | null;
  assignments: Map<string, Assignment>;
  faults: Fault[];
}

/**
 * Gathers what is set: the file wins over the environment, which wins over the presets. Empty is
 * unset. What may change while the program runs comes from the file alone, where there is one.
 * @param presets what a way of starting the program sets by default, as `serve --local` does.
 */
export function readSources(env: Environment, presets: Environment = {}): Sources {
  const path = env.CONFIG_FILE || null;
  const file = path === null ? null : readConfigFile(path);
  const faults = [...(file?.faults ?? [])];
  const assignments = new Map<string, Assignment>();
  const set = (assignment: Assignment) => {
    if (assignment.value !== '') assignments.set(assignment.name, assignment);
  };

  for (const assignment of fromEnvironment(presets)) set(assignment);
  for (const assignment of fromEnvironment(env)) {
    if (!isOurs(assignment.name)) continue;
    const lookalike = findLookalike(assignment.value);
    if (lookalike !== null) faults.push({ ...assignment, message: lookalike });
    else if (!isKnown(assignment.name)) faults.push(unknown(assignment, faults.length));
    else if (file?.found && isRuntime(assignment.name)) {
      faults.push({
        ...assignment,
        message: `with a configuration file it must stand in ${path}, not in the environment`,
      });
    } else set(assignment);
  }
  for (const assignment of file?.assignments ?? []) {
    if (isKnown(assignment.name)) set(assignment);
    else faults.push(unknown(assignment, faults.length));
  }
  return { file: file?.found ? path : null, assignments, faults };
}

function fromEnvironment(env: Environment): Assignment[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value ? [{ name, value, line: null }] : [],
  );
}

function readConfigFile(path: string): {
  found: boolean;
  assignments: Assignment[];
  faults: Fault[];
} {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readRegularFile(path));
    return { found: true, ...parseEnvFile(text) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' && path === DEFAULT_CONFIG_FILE)
      return { found: false, assignments: [], faults: [] };
    const fault = { name: 'CONFIG_FILE', line: null, value: path, message: unreadable(code, path) };
    return { found: false, assignments: [], faults: [fault] };
  }
}

/**
 * Reads a file and nothing else: a pipe would block the whole program, which may be running.
 * @throws Error with a `code`: the system's, EISDIR, ENOTREG, EFBIG.
 */
function readRegularFile(path: string): Buffer {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(descriptor);
    const fault = stat.isDirectory() ? 'EISDIR' : stat.isFile() ? null : 'ENOTREG';
    const code = fault ?? (stat.size > MAX_BYTES ? 'EFBIG' : null);
    if (code !== null) throw Object.assign(new Error(code), { code });
    return readBounded(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** All of a file, which may have grown since its size was asked for. @throws Error with the code EFBIG */
function readBounded(descriptor: number): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(65_536);
    const read = readSync(descriptor, chunk);
    if (read === 0) return Buffer.concat(chunks);
    size += read;
    if (size > MAX_BYTES) throw Object.assign(new Error('EFBIG'), { code: 'EFBIG' });
    chunks.push(chunk.subarray(0, read));
  }
}

function unreadable(code: unknown, path: string): string {
  switch (code) {
    case 'ENOENT':
      return 'there is no such file; create it, or leave CONFIG_FILE unset';
    case 'EACCES':
    case 'EPERM':
      return `it cannot be read; on the host, run chmod 644 on the file and chmod 755 on its folder (in a container the program's user does not own it)`;
    case 'ENOTREG':
      return 'it is no regular file; name one';
    case 'EFBIG':
      return 'it has more than 1 MiB, which is no configuration; name the right file';
    case 'EISDIR':
      return 'it is a folder; name the file in it';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'it is not UTF-8 text; save it as UTF-8';
    default:
      return `it cannot be read (${String(code)}); check ${path}`;
  }
}

/** @param before the faults that are told before it: what is not told is not looked into. */
function unknown(assignment: Assignment, before: number): Fault {
  return { ...assignment, message: before < MAX_FAULTS ? unknownName(assignment.name) : '' };
}

function unknownName(name: string): string {
  if (name === 'CONFIG_FILE')
    return 'it belongs in the environment, since it says where this file is';
  if (/^EGRESS_(ALLOW|DENY|MAX_UPLOAD)_/.test(name))
    return 'a group may have upper-case letters, digits and _ only';
  const meant = nearestName(name);
  return meant === null
    ? 'there is no such variable; correct the name or take it out (the README lists them all)'
    : `there is no such variable; did you mean ${meant}?`;
}
