import type { UpstreamConnector } from '../ingress/upstream.ts';
import { type ConfigState, INVALID_WARNING, type Reload } from '../live/reload.ts';
import { REPORT_WARNING } from '../live/report-reminder.ts';
import type { RulesInForce } from '../live/rules-in-force.ts';
import type { ClientList } from '../net/client-list.ts';
import { readVersion } from '../version.ts';

/** What `GET /healthz` tells. */
export interface Health {
  status: 'ok';
  /** Of whisper-proxy. */
  version: string;
  /** Where the listeners are. */
  listeners: Record<string, string>;
  upstream: {
    address: string;
    /** Information, not a condition: the proxy is healthy while whisper loads its model. */
    state: 'up' | 'down';
    /** The code of the error, where it is down. */
    error?: string;
  };
  mode: 'enforce' | 'report';
  /** Which configuration is in force. */
  config: ConfigState;
  /** What is allowed for a time, and until when (ISO 8601). */
  timed: { rule: string; until: string }[];
  warnings: string[];
}

/** What health is read from. */
export interface HealthParts {
  upstream: UpstreamConnector;
  /** Whether whisper can be reached around its gate. */
  isUngated: () => Promise<boolean>;
  /** It is the stand-in, which needs no gate. */
  isEmbedded: boolean;
  /** Their names are looked up, so that one that does not exist shows before its client comes. */
  clientLists: readonly ClientList[];
  rules: RulesInForce;
  reload: Reload;
  /** Filled in once all of them listen. */
  listeners: Record<string, string>;
}

/** Who asks does not wait much longer than for whisper. */
const REFRESH_LIMIT_MS = 1_000;

const GATE_WARNING =
  'no gate stands in front of whisper: it can go around the proxy; whisper.container has to join whisper-gate (Network=container:whisper-gate)';

/** Reads how the proxy is; it asks whisper whether it listens, and looks up the names of clients. */
export async function readHealth(parts: HealthParts): Promise<Health> {
  const { upstream, clientLists, rules, reload, listeners } = parts;
  const [state, isUngated] = await Promise.all([
    upstream.probe(),
    parts.isUngated(),
    ...clientLists.map((list) => list.refresh(REFRESH_LIMIT_MS)),
  ]);
  const { mode } = rules.policy;
  const config = reload.state;
  return {
    status: 'ok',
    version: readVersion(),
    listeners,
    upstream: { address: String(upstream), ...state },
    mode,
    config,
    timed: rules.timed.map(({ rule, until }) => ({
      rule: rule.label,
      until: new Date(until).toISOString(),
    })),
    warnings: [
      ...(config.denies_all ? [INVALID_WARNING] : []),
      ...(mode === 'report' ? [REPORT_WARNING] : []),
      ...(isUngated && !parts.isEmbedded ? [GATE_WARNING] : []),
      ...clientLists.flatMap((list) => list.problems()),
    ],
  };
}
