import { randomBytes } from 'node:crypto';
import { resolve as resolvePath } from 'node:path';
import { isNeverReached } from '../policy/addresses.ts';
import { type ClientRule, touchesClient } from '../policy/clients.ts';
import type { Policy } from '../policy/decide.ts';
import { targetOf } from '../policy/outlook.ts';
import { type Rule, RuleError } from '../policy/rules.ts';
import type { Fault } from './env-file.ts';
import { readRules, readUploadLimits } from './groups.ts';
import { type Environment, MAX_FAULTS, readSources, type Sources } from './sources.ts';
import {
  formatListenAddress,
  type ListenAddress,
  oneOf,
  parseBoolean,
  parseClients,
  parseCount,
  parseDuration,
  parseListenAddress,
  parseNameServerAddress,
  parseSocketPath,
  parseTcpAddress,
  parseToken,
  parseUpstream,
  type TcpAddress,
  type Upstream,
  ValueError,
} from './values.ts';
import {
  isKnown,
  isRuntime,
  isSecretName,
  nearestName,
  RULE_LIST,
  VARIABLES,
  type VariableName,
} from './variables.ts';

/** The same, before it is frozen. */
type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

/** What the program runs with; frozen, times in milliseconds. */
export interface Config {
  /** The configuration file that was read, or null. */
  file: string | null;
  upstream: Upstream;
  ingress: {
    listen: ListenAddress;
    /** null: anybody. */
    clients: readonly ClientRule[] | null;
    connectTimeout: number;
    /** How long a request waits for a whisper that is not there; null: not at all. */
    holdTimeout: number | null;
    /** Whose X-Forwarded-* fields are passed on. */
    trustForwarded: readonly ClientRule[];
  };
  egress: {
    listen: TcpAddress;
    /** For programs that know of no proxy; null: off. */
    tlsListen: TcpAddress | null;
    httpListen: TcpAddress | null;
    dnsListen: TcpAddress | null;
    /** null: anybody. */
    clients: readonly ClientRule[] | null;
    policy: Policy;
    requireSni: boolean;
    /** What becomes of open connections that new rules deny. */
    onReload: 'keep' | 'end';
    maxConnections: number;
    connectTimeout: number;
    idleTimeout: number;
  };
  admin: { listen: TcpAddress; token: string | null };
  /** The unix socket that takes commands; null: none are taken. */
  controlSocket: string | null;
  shutdownTimeout: number;
  log: { level: LogLevel; allowed: boolean; requests: boolean };
  /** The variables that are read at the start alone, as they were set. */
  fixed: Readonly<Record<string, string>>;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Of a token beyond loopback. */
const SHORTEST_TOKEN = 16;

/** Every fault of a configuration in one message. */
export class ConfigError extends Error {
  readonly code = 'BAD_CONFIG';
  readonly faults: readonly Fault[];
  /** A sentence for each fault, in the order of their lines. */
  readonly messages: string[];

  constructor(faults: readonly Fault[], file: string | null) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
    const inOrder = [...faults].sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
    const messages = inOrder.slice(0, MAX_FAULTS).map((fault) => formatFault(fault, file));
    if (faults.length > MAX_FAULTS) messages.push(`and ${faults.length - MAX_FAULTS} more`);
    const lines = messages.map((message) => `  ${message}`);
    super(`the configuration has ${count}, so nothing was started:\n${lines.join('\n')}`);
    this.faults = faults;
    this.messages = messages;
  }
}

/**
 * Reads the configuration from the environment and the file that its CONFIG_FILE names.
 * @param presets values for what is set in neither.
 * @throws ConfigError that lists every fault.
 */
export function readConfig(env: Environment, presets: Environment = {}): Config {
  const sources = readSources(env, presets);
  const config = build(sources);
  if (sources.faults.length > 0) throw new ConfigError(sources.faults, sources.file);
  return deepFreeze(config);
}

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

/** Whether what is behind a fault may have been meant for any variable. */
function mayHide({ name, line }: Fault): boolean {
  if (name === null) return true;
  // What an unknown name was meant to be is a guess, which may improve a message, but decides nothing.
  return line === null ? name === 'CONFIG_FILE' : !isKnown(name);
}

/** Of a file with that many faults nobody knows what was meant, and finding out would take seconds. */
function mayHideAny(faults: readonly Fault[]): boolean {
  return faults.length > MAX_FAULTS || faults.some(mayHide);
}

function isOpenToAnybody({ listen, clients }: Config['ingress']): boolean {
  return clients === null && listen.kind === 'tcp' && !isLoopback(listen);
}

function openIngress(): Fault {
  const message =
    'it is not set, but a line that cannot be read may have been meant to set it; mend that line, or set it in the environment';
  return { name: 'INGRESS_CLIENTS', line: null, value: null, message };
}

/** @param isHidden a fault may hide a variable: one that is missing is none then. */
function build(sources: Sources, isHidden = mayHideAny(sources.faults)): Mutable<Config> {
  const read = reader(sources);
  const clients = read.optional('EGRESS_CLIENTS', parseClients);
  const config: Mutable<Config> = {
    file: sources.file,
    upstream: read('UPSTREAM', parseUpstream),
    ingress: {
      listen: read('INGRESS_LISTEN', parseListenAddress),
      clients: read.optional('INGRESS_CLIENTS', parseClients),
      connectTimeout: read('INGRESS_CONNECT_TIMEOUT', parseDuration),
      holdTimeout: read.optional('INGRESS_HOLD_TIMEOUT', parseDuration),
      trustForwarded: read.optional('INGRESS_TRUST_FORWARDED', parseClients) ?? [],
    },
    egress: {
      listen: read('EGRESS_LISTEN', parseTcpAddress),
      tlsListen: read.optional('EGRESS_TLS_LISTEN', parseTcpAddress),
      httpListen: read.optional('EGRESS_HTTP_LISTEN', parseTcpAddress),
      dnsListen: read.optional('DNS_LISTEN', parseNameServerAddress),
      clients,
      policy: {
        allow: readRules(sources, 'ALLOW', (rule) => refuseClosed(rule, clients)),
        deny: readRules(sources, 'DENY'),
        mode: read('EGRESS_MODE', oneOf('enforce', 'report')),
        maxUpload: readUploadLimits(sources),
      },
      requireSni: read('EGRESS_REQUIRE_SNI', parseBoolean),
      onReload: read('EGRESS_ON_RELOAD', oneOf('keep', 'end')),
      maxConnections: read('EGRESS_MAX_CONNECTIONS', parseCount),
      connectTimeout: read('EGRESS_CONNECT_TIMEOUT', parseDuration),
      idleTimeout: read('EGRESS_IDLE_TIMEOUT', parseDuration),
    },
    admin: adminOf(read),
    controlSocket: controlSocketOf(read),
    shutdownTimeout: read('SHUTDOWN_TIMEOUT', parseDuration),
    log: {
      level: read('LOG_LEVEL', oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')),
      allowed: read('LOG_ALLOWED', parseBoolean),
      requests: read('LOG_REQUESTS', parseBoolean),
    },
    fixed: Object.fromEntries(
      [...sources.assignments.values()].flatMap(({ name, value }) =>
        isRuntime(name) ? [] : [[name, value]],
      ),
    ),
  };
  checkTogether(config, sources, isHidden);
  return config;
}

/**
 * Reads where the admin listener is, for its clients. Faults elsewhere do not matter to them: the
 * proxy that they ask may run on with an older configuration.
 * @throws ConfigError
 */
export function readAdmin(env: Environment): Config['admin'] {
  return readPart(env, adminOf);
}

/** Reads where the running program takes commands, or null. @throws ConfigError */
export function readControlSocket(env: Environment): string | null {
  return readPart(env, controlSocketOf);
}

/** The groups that have an allow rule in what is configured by now, however faulty the rest is. */
export function readAllowGroups(env: Environment): Set<string> {
  const names = [...readSources(env).assignments.keys()];
  return new Set(
    names.flatMap((name) => {
      const [, list, group] = RULE_LIST.exec(name) ?? [];
      return list === 'ALLOW' && group !== undefined ? [group] : [];
    }),
  );
}

function readPart<Part>(env: Environment, read: (reader: Reader) => Part): Part {
  const sources = { ...readSources(env), faults: [] };
  const part = read(reader(sources));
  if (sources.faults.length > 0) throw new ConfigError(sources.faults, sources.file);
  return part;
}

function controlSocketOf(read: Reader): string | null {
  return read.optional('CONTROL_SOCKET', parseSocketPath);
}

function adminOf(read: Reader): Config['admin'] {
  return {
    listen: read('ADMIN_LISTEN', parseTcpAddress),
    token: read.optional('ADMIN_TOKEN', parseToken),
  };
}

interface Reader {
  /** The variable's value. After a fault the answer is of no use, and `readConfig` throws. */
  <Value>(name: VariableName, parse: (text: string) => Value): Value;
  /** The variable's value, or null if it is not set. */
  optional<Value>(name: VariableName, parse: (text: string) => Value): Value | null;
}

function reader({ assignments, faults }: Sources): Reader {
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

/** @throws RuleError for a rule that covers nothing but what stays closed under any rule. */
function refuseClosed(rule: Rule, clients: readonly ClientRule[] | null): void {
  if (rule.match.kind === 'network' && isNeverReached(rule.match.network)) {
    throw new RuleError(
      'it is link-local or of a metadata service, which stays closed under any rule; take it out',
    );
  }
  const target = targetOf(rule);
  if (target?.kind !== 'address' || !touchesClient(clients ?? [], target.host)) return;
  throw new RuleError('it is in EGRESS_CLIENTS, and those stay closed under any rule; take it out');
}

function checkTogether(
  { upstream, ingress, egress, admin, controlSocket }: Config,
  { assignments, faults }: Sources,
  isHidden: boolean,
): void {
  const fault = (name: VariableName, message: string) => {
    const assignment = assignments.get(name);
    faults.push({
      name,
      line: assignment?.line ?? null,
      value: assignment?.value ?? null,
      message,
    });
  };
  if (ingress.listen?.kind === 'unix' && ingress.clients) {
    fault(
      'INGRESS_CLIENTS',
      'a unix socket has no client addresses; leave it unset, the permissions of the socket decide',
    );
  }
  if (ingress.listen?.kind === 'unix' && ingress.trustForwarded?.length > 0) {
    fault(
      'INGRESS_TRUST_FORWARDED',
      'a unix socket has no client addresses; leave it unset: what comes over one is not trusted',
    );
  }
  // Ingress would lead to the commands, or one listener take the other's place.
  const sockets = new Map<string, VariableName>();
  for (const [name, path] of [
    ['UPSTREAM', upstream?.kind === 'unix' ? upstream.path : null],
    ['INGRESS_LISTEN', ingress.listen?.kind === 'unix' ? ingress.listen.path : null],
    ['CONTROL_SOCKET', controlSocket],
  ] as const) {
    if (!path) continue;
    const whole = resolvePath(path);
    const other = sockets.get(whole);
    if (other) fault(name, `${other} is the same socket; give each one of its own`);
    sockets.set(whole, name);
  }
  const taken = new Map<string, string>();
  for (const [name, listen] of [
    ['INGRESS_LISTEN', ingress.listen],
    ['EGRESS_LISTEN', egress.listen],
    ['EGRESS_TLS_LISTEN', egress.tlsListen],
    ['EGRESS_HTTP_LISTEN', egress.httpListen],
    ['DNS_LISTEN', egress.dnsListen],
    ['ADMIN_LISTEN', admin.listen],
  ] as const) {
    if (listen?.kind !== 'tcp' || listen.port === 0) continue;
    const where = formatListenAddress(listen);
    const other = taken.get(where);
    if (other) fault(name, `${other} listens at ${where} too; give each a port of its own`);
    taken.set(where, name);
  }
  const token = assignments.get('ADMIN_TOKEN')?.value;
  if (admin.listen && !isLoopback(admin.listen) && token && token.length < SHORTEST_TOKEN) {
    fault(
      'ADMIN_TOKEN',
      `beyond loopback it must have at least ${SHORTEST_TOKEN} characters; "openssl rand -hex 24" makes one`,
    );
  }
  const hasToken = assignments.has('ADMIN_TOKEN') || isHidden;
  if (admin.listen && !isLoopback(admin.listen) && !hasToken) {
    fault('ADMIN_LISTEN', 'beyond loopback it needs ADMIN_TOKEN; set that, or listen on 127.0.0.1');
  }
}

function isLoopback({ host }: TcpAddress): boolean {
  return /^(?:127\.|::1$)/.test(host);
}

function formatFault({ name, line, value, message }: Fault, file: string | null): string {
  const where = line === null ? '' : `${file ?? 'the file'}, line ${line}: `;
  const secret = holdsSecret(`${name ?? ''}=`) || holdsSecret(value ?? '');
  const shown = value === null || secret ? null : quote(hideUser(value));
  const said = secret ? withoutItems(message, value ?? '') : message;
  return `${where}${[name, shown].filter((part) => part !== null).join('=')}: ${said}`;
}

/** Whether a text has the name of a secret in it, wherever a variable may be set: what is behind it is hidden. */
function holdsSecret(text: string): boolean {
  const words = text.matchAll(/([A-Za-z][A-Za-z0-9_]*)(\s*[=:])?/g);
  return [...words].some(
    ([, word = '', set]) =>
      (set !== undefined || /^[A-Z0-9_]{4,}$/.test(word)) && isSecretName(word),
  );
}

/** A message without what it repeats of a value. */
function withoutItems(message: string, value: string): string {
  const items = value.split(/[\s,]+/).filter((item) => item.length > 3);
  return items.reduce((text, item) => text.replaceAll(item, '…'), message);
}

/** Without the user and password of a URL. */
function hideUser(value: string): string {
  return value.replace(/:\/\/[^/@\s]*:[^/@\s]*@/g, '://…@');
}

/** A value as a message may show it: one line, bounded. */
function quote(value: string): string {
  return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value);
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
