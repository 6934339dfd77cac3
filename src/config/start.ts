import { randomBytes } from 'node:crypto';
import { build, type Config, deepFreeze, isLoopback } from './config.ts';
import type { Fault } from './env-file.ts';
import { ConfigError, mayHideAny } from './faults.ts';
import { type Environment, readSources } from './sources.ts';
import { isKnown, isRuntime, nearestName } from './variables.ts';

/** What the program starts with. */
export interface StartConfig {
  config: Config;
  /** The faults of the file, if it has any: then egress denies everything. */
  invalid: ConfigError | null;
}

/**
 * Reads the configuration for a start. A fault of the file in what a reload may change must not keep
 * whisper from being reached: the configuration then has the listeners, an empty allowlist and the
 * defaults of everything else that comes from the file alone.
 * @throws ConfigError for faults in anything that is read at the start alone, or in the environment.
 */
export function readStartConfig(env: Environment, presets: Environment = {}): StartConfig {
  const sources = readSources(env, presets);
  const { faults } = sources;
  const whole = build(sources);
  if (faults.length === 0) return { config: deepFreeze(whole), invalid: null };
  const error = () => new ConfigError(faults, sources.file);
  if (!faults.every(isMendable)) throw error();
  const assignments = new Map([...sources.assignments].filter(([name]) => !isRuntime(name)));
  const config = build({ ...sources, assignments, faults: [] }, mayHideAny(faults));
  if (mayHideAny(faults) && isOpenToAnybody(config.ingress)) {
    faults.push(openIngress());
    throw error();
  }
  config.file = env.CONFIG_FILE ?? null;
  config.egress.policy = { ...config.egress.policy, invalid: true };
  // The token that was meant may be in a line that cannot be read: until then nobody has one.
  if (!isLoopback(config.admin.listen)) {
    config.admin.token ??= randomBytes(32).toString('base64url');
  }
  return { config: deepFreeze(config), invalid: error() };
}

/** Whether a reload can mend a fault: it is the file's, and not in a variable that is read at the start alone. */
function isMendable({ name, line }: Fault): boolean {
  if (line === null) return name === 'CONFIG_FILE';
  if (name === null || isRuntime(name)) return true;
  // Whoever misspelt it meant to say who may come in, and nobody else may until that is mended.
  return !isKnown(name) && nearestName(name) !== 'INGRESS_CLIENTS';
}

function isOpenToAnybody({ listen, clients }: Config['ingress']): boolean {
  return clients === null && listen.kind === 'tcp' && !isLoopback(listen);
}

function openIngress(): Fault {
  const message =
    'it is not set, but a line that cannot be read may have been meant to set it; mend that line, or set it in the environment';
  return { name: 'INGRESS_CLIENTS', line: null, value: null, message };
}
