import { type Bounds, countAttempts, type Probe } from './probe.ts';

/**
 * Few enough not to look like a flood. What only waits for packets that vanish may be more: it sends
 * two or three in its 2.5 s. What the proxy answers stays well below EGRESS_MAX_CONNECTIONS.
 */
const AT_ONCE = { request: 16, packet: 64, share: Number.POSITIVE_INFINITY };

/**
 * The kernel answers no more than 1000 times a second, in bursts of 50 (icmp_msgs_per_sec, icmp_msgs_burst).
 * Without the gate's answer nothing is lost but time: whether a packet left shows only after a second.
 */
const APART_MS = 10;

/** More than whatever a single one waits for: the helper's 15 s. */
const LIMIT_MS = 16_000;
/** The helper, or a host on the allowlist that takes its time. */
const LEAST_MS = 25_000;
/** What a round of those at once takes, on a machine that is busy as well. */
const ROUND_MS = { request: 500, packet: 3_000 };
/** Whoever asks for thousands of addresses has to ask in parts. */
const MOST_MS = 300_000;

/** How long probes may take, so that as many as were asked for come to an end. */
export function boundsFor(probes: readonly Probe[]): Bounds {
  const time = (kind: 'request' | 'packet') =>
    Math.ceil(countAttempts(probes, kind) / AT_ONCE[kind]) * ROUND_MS[kind];
  return {
    atOnce: AT_ONCE,
    apartMs: APART_MS,
    limitMs: LIMIT_MS,
    totalMs: Math.min(LEAST_MS + Math.max(time('request'), time('packet')), MOST_MS),
  };
}
