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

const GROUPED = ['EGRESS_ALLOW', 'EGRESS_DENY', 'EGRESS_MAX_UPLOAD'];
const NAMES = [...Object.keys(VARIABLES), ...GROUPED, 'CONFIG_FILE'];
/** Longer names are not looked at: none of ours without a group is. */
const LONGEST = 64;

/** Words that others use for the same. */
const SYNONYMS: [RegExp, string][] = [
  [/(?:ALLOW|WHITE)_?LIST(?:ED)?|ALLOWED|PERMIT|WHITELIST/, 'ALLOW'],
  [/(?:DENY|BLOCK|BLACK)_?LIST(?:ED)?|DENIED|BLOCK(?:ED)?/, 'DENY'],
];

/** Whether the program has such a variable. */
export function isKnown(name: string): boolean {
  return Object.hasOwn(VARIABLES, name) || isGrouped(name);
}

/** Whether a variable of the environment is one of ours, or looks like one. */
export function isOurs(name: string): boolean {
  return isKnown(name) || OWN_PREFIX.test(name) || isNearlyOurs(name);
}

/** Other programs have variables too: what is not plainly one of ours is theirs. */
function isNearlyOurs(name: string): boolean {
  const meant = nearestName(name);
  if (meant === null || meant === name) return false;
  const [prefix = ''] = meant.split('_');
  const [head = ''] = name.toUpperCase().split(/[_-]/);
  if (/^(?:EGRESS|INGRESS)$/.test(prefix) && distance(head, prefix, 2) <= 2) return true;
  if (prefix === 'EGRESS' && distance(name.toUpperCase(), meant, 2) <= 2) return true;
  const isSameShape = name.split('_').length === meant.split('_').length;
  return isSameShape && name === name.toUpperCase() && distance(name, meant, 1) <= 1;
}

/** The variable that a name which is none was probably meant to be, its group included; or null. */
export function nearestName(name: string): string | null {
  const upper = name.toUpperCase().replaceAll('-', '_');
  if (name.length > LONGEST) return null;
  if (isKnown(upper) || upper === 'CONFIG_FILE') return upper;
  const plain = SYNONYMS.reduce((text, [word, ours]) => text.replace(word, ours), upper);
  if (isKnown(plain)) return plain;
  const behind = NAMES.find((known) => known === `EGRESS_${plain}` || known === `${plain}_LISTEN`);
  if (behind !== undefined && plain.length > 3) return behind;
  const candidates = NAMES.flatMap((known) => near(plain, known, ''));
  // With a group: the part in front of each _ may be the misspelt name.
  for (let at = plain.indexOf('_', 5); at !== -1; at = plain.indexOf('_', at + 1)) {
    const head = plain.slice(0, at);
    candidates.push(...GROUPED.flatMap((known) => near(head, known, plain.slice(at))));
  }
  return candidates.sort((a, b) => a.far - b.far)[0]?.name ?? null;
}

/** A variable as a candidate for a name, if there are few slips between the two. */
function near(text: string, known: string, group: string): { name: string; far: number }[] {
  // Two slips apart, and opposite ways.
  if (text.startsWith('INGRESS') !== known.startsWith('INGRESS') && /^(?:IN|E)GRESS/.test(text))
    return [];
  const most = known.length > 8 ? 2 : 1;
  const far = distance(text, known, most);
  return far <= most ? [{ name: `${known}${group}`, far }] : [];
}

/**
 * How many slips (a letter too many, too few, another one, two swapped) lie between two texts.
 * @param most more than that are not counted to their end.
 */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next[j] = Math.min(
        (next[j - 1] ?? 0) + 1,
        (row[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (before[j - 2] ?? 0) + 1 : Infinity,
      );
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? most + 1;
}

/** Whether the value behind a name, which may be misspelt, is one that nobody may read in a message. */
export function isSecretName(name: string): boolean {
  if (name === 'ADMIN_TOKEN') return true;
  if (isKnown(name)) return false;
  const meant = nearestName(name);
  if (meant !== null && meant !== 'ADMIN_TOKEN') return false;
  return meant === 'ADMIN_TOKEN' || /^ADMIN_?T|TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$/i.test(name);
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
