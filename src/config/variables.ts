/** A variable that the program knows. */
export interface Variable {
  /** The value when it is set nowhere; null where there is none. */
  default: string | null;
  /** May change while the program runs, so with a configuration file it comes from there alone. */
  runtime: boolean;
}

/** Every variable but those that have a group in their name: see `RULE_LIST` and `UPLOAD_LIMIT`. */
export const VARIABLES = {
  UPSTREAM: { default: null, runtime: false },
  INGRESS_LISTEN: { default: '0.0.0.0:7860', runtime: false },
  INGRESS_CLIENTS: { default: null, runtime: false },
  INGRESS_CONNECT_TIMEOUT: { default: '5s', runtime: false },
  INGRESS_HOLD_TIMEOUT: { default: null, runtime: false },
  INGRESS_TRUST_FORWARDED: { default: null, runtime: false },
  EGRESS_LISTEN: { default: '127.0.0.1:3128', runtime: false },
  EGRESS_TLS_LISTEN: { default: null, runtime: false },
  EGRESS_HTTP_LISTEN: { default: null, runtime: false },
  DNS_LISTEN: { default: null, runtime: false },
  EGRESS_CLIENTS: { default: null, runtime: false },
  EGRESS_CONNECT_TIMEOUT: { default: '10s', runtime: false },
  EGRESS_IDLE_TIMEOUT: { default: '5m', runtime: false },
  EGRESS_MODE: { default: 'enforce', runtime: true },
  EGRESS_REQUIRE_SNI: { default: 'true', runtime: false },
  EGRESS_ON_RELOAD: { default: 'keep', runtime: true },
  EGRESS_MAX_CONNECTIONS: { default: '256', runtime: true },
  ADMIN_LISTEN: { default: '127.0.0.1:9090', runtime: false },
  ADMIN_TOKEN: { default: null, runtime: false },
  CONTROL_SOCKET: { default: null, runtime: false },
  SHUTDOWN_TIMEOUT: { default: '8s', runtime: false },
  LOG_LEVEL: { default: 'info', runtime: true },
  LOG_ALLOWED: { default: 'true', runtime: true },
  LOG_REQUESTS: { default: 'false', runtime: true },
} as const satisfies Record<string, Variable>;

export type VariableName = keyof typeof VARIABLES;

/** EGRESS_ALLOW, EGRESS_DENY, and the same with a group behind them. */
export const RULE_LIST = /^EGRESS_(ALLOW|DENY)(?:_([A-Z0-9_]+))?$/;

/** EGRESS_MAX_UPLOAD, and the same with a group behind it. */
export const UPLOAD_LIMIT = /^EGRESS_MAX_UPLOAD(?:_([A-Z0-9_]+))?$/;

/** In the environment, a name that begins like ours and is none of ours is a slip of the pen. */
const OWN_PREFIX = /^(?:EGRESS|INGRESS|DNS|ADMIN)_/;

/** Whether the program has such a variable. */
export function isKnown(name: string): boolean {
  return Object.hasOwn(VARIABLES, name) || isGrouped(name);
}

/** Whether a variable of the environment is one of ours, or looks like one. */
export function isOurs(name: string): boolean {
  return isKnown(name) || OWN_PREFIX.test(name);
}

/** Whether it may change at run time, and so belongs in the file where there is one. */
export function isRuntime(name: string): boolean {
  return (
    isGrouped(name) || (Object.hasOwn(VARIABLES, name) && VARIABLES[name as VariableName].runtime)
  );
}

function isGrouped(name: string): boolean {
  return RULE_LIST.test(name) || UPLOAD_LIMIT.test(name);
}
