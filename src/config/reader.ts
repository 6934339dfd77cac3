import { ConfigError } from './faults.ts';
import { type Environment, readSources, type Sources } from './sources.ts';
import {
  parseSocketPath,
  parseTcpAddress,
  parseToken,
  type TcpAddress,
  ValueError,
} from './values.ts';
import { VARIABLES, type VariableName } from './variables.ts';

/** The admin listener. */
export interface AdminConfig {
  listen: TcpAddress;
  token: string | null;
}

/**
 * Reads where the admin listener is, for its clients. Faults elsewhere do not matter to them: the
 * proxy that they ask may run on with an older configuration.
 * @throws ConfigError
 */
export function readAdmin(env: Environment): AdminConfig {
  return readPart(env, adminOf);
}

/** Reads where the running program takes commands, or null. @throws ConfigError */
export function readControlSocket(env: Environment): string | null {
  return readPart(env, controlSocketOf);
}

function readPart<Part>(env: Environment, read: (reader: Reader) => Part): Part {
  const sources = { ...readSources(env), faults: [] };
  const part = read(reader(sources));
  if (sources.faults.length > 0) throw new ConfigError(sources.faults, sources.file);
  return part;
}

/** The control socket's path, or null. */
export function controlSocketOf(read: Reader): string | null {
  return read.optional('CONTROL_SOCKET', parseSocketPath);
}

/** The admin listener. */
export function adminOf(read: Reader): AdminConfig {
  return {
    listen: read('ADMIN_LISTEN', parseTcpAddress),
    token: read.optional('ADMIN_TOKEN', parseToken),
  };
}

/** Reads variables one by one, and notes what is wrong with them. */
export interface Reader {
  /** The variable's value. After a fault the answer is of no use, and whoever reads them all throws. */
  <Value>(name: VariableName, parse: (text: string) => Value): Value;
  /** The variable's value, or null if it is not set. */
  optional<Value>(name: VariableName, parse: (text: string) => Value): Value | null;
}

/** @param sources their faults are added to. */
export function reader({ assignments, faults }: Sources): Reader {
  const optional = <Value>(name: VariableName, parse: (text: string) => Value): Value | null => {
    const assignment = assignments.get(name);
    const text = assignment?.value ?? VARIABLES[name].default;
    if (text === null) return null;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      faults.push({ name, line: assignment?.line ?? null, value: text, message: error.message });
      return null;
    }
  };
  const required = <Value>(name: VariableName, parse: (text: string) => Value): Value => {
    if (VARIABLES[name].default === null && !assignments.has(name)) {
      faults.push({
        name,
        line: null,
        value: null,
        message: 'it is not set; set it to http://host:port, unix:/path or embedded',
      });
    }
    return optional(name, parse) as Value;
  };
  return Object.assign(required, { optional });
}
