import { resolve as resolvePath } from 'node:path';
import { isNeverReached } from '../policy/addresses.ts';
import { type ClientRule, touchesClient } from '../policy/clients.ts';
import type { Policy } from '../policy/decide.ts';
import { targetOf } from '../policy/outlook.ts';
import { type Rule, RuleError } from '../policy/rules.ts';
import { ConfigError, mayHideAny } from './faults.ts';
import { readRules, readUploadLimits } from './groups.ts';
import { type AdminConfig, adminOf, controlSocketOf, reader } from './reader.ts';
import { type Environment, readSources, type Sources } from './sources.ts';
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
  parseTcpAddress,
  parseUpstream,
  type TcpAddress,
  type Upstream,
} from './values.ts';
import { isRuntime, RULE_LIST, type VariableName } from './variables.ts';

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
  admin: AdminConfig;
  /** The unix socket that takes commands; null: none are taken. */
  controlSocket: string | null;
  shutdownTimeout: number;
  log: { level: LogLevel; allowed: boolean; requests: boolean };
  /** The variables that a reload reads beside the rules, as they were set. */
  settings: Readonly<Record<string, string>>;
  /** The variables that are read at the start alone, as they were set. */
  fixed: Readonly<Record<string, string>>;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Of a token beyond loopback. */
const SHORTEST_TOKEN = 16;

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

/**
 * Builds a configuration out of what was set; what is wrong is added to the faults.
 * @param isHidden a fault may hide a variable: one that is missing is none then.
 */
export function build(sources: Sources, isHidden = mayHideAny(sources.faults)): Mutable<Config> {
  const read = reader(sources);
  const clients = read.optional('EGRESS_CLIENTS', parseClients);
  const namedAs = (isMeant: (name: string) => boolean) =>
    Object.fromEntries(
      [...sources.assignments.values()].flatMap(({ name, value }) =>
        isMeant(name) ? [[name, value]] : [],
      ),
    );
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
    settings: namedAs((name) => isRuntime(name) && !RULE_LIST.test(name)),
    fixed: namedAs((name) => !isRuntime(name)),
  };
  checkTogether(config, sources, isHidden);
  return config;
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

/** Whether nobody but this machine reaches an address. */
export function isLoopback({ host }: TcpAddress): boolean {
  return /^(?:127\.|::1$)/.test(host);
}

/** Freezes a value and all that is in it. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
