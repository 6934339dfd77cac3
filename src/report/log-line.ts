import { isIP } from 'node:net';
import { FAILURE_REASONS } from '../ingress/observer.ts';
import { VIAS } from '../log/decision-log.ts';
import { stillPrintable } from '../log/printable.ts';
import { REASONS } from '../policy/decide.ts';
import { isFailureStatus, type TalliedFailure } from './failures.ts';
import type { Tallied } from './tally.ts';

/** Decisions as one line of the log has them. */
export interface LoggedDecision {
  decision: Tallied;
  /** ISO 8601. */
  time: string;
  /** How many it stands for. */
  count: number;
}

/** Failures of ingress as one line of the log has them. */
export interface LoggedFailure {
  failure: TalliedFailure;
  /** ISO 8601. */
  time: string;
  /** How many it stands for. */
  count: number;
}

const EVENTS = ['egress', 'ingress'] as const;
const DECISIONS = ['allow', 'deny', 'would_deny'] as const;

/**
 * Reads a line of the log. What stands before the JSON is ignored: `podman logs --timestamps` and
 * `journalctl` put the time there, and who wrote it. Text is escaped where it has to be, since whoever
 * made the line may not be the log.
 * @returns `other` for a line of the log that is no decision, `foreign` for one that is none of it.
 */
export function readLogLine(text: string): LoggedDecision | LoggedFailure | 'other' | 'foreign' {
  const line = parseObject(text);
  const time = timeOf(line?.time);
  if (line === null || time === null || typeof line.level !== 'string') return 'foreign';
  if (line.event === 'ingress_failure') return readFailure(line, time);
  const event = oneOf(EVENTS, line.event);
  if (event === null) return 'other';
  const decision = oneOf(DECISIONS, line.decision);
  const reason = line.reason === null ? null : oneOf(REASONS, line.reason);
  const count = countOf(line);
  const isSound = (reason === null) === (decision === 'allow') && line.reason !== undefined;
  if (decision === null || count === null || !isSound) return 'foreign';
  const address = textOf(line.address);
  return {
    decision: {
      event,
      decision,
      reason,
      rule: textOf(line.rule),
      via: oneOf(VIAS, line.via),
      host: textOf(line.host),
      port: wholeNumber(line.port, 65_535),
      address: address !== null && isIP(address) !== 0 ? address : null,
      client: textOf(line.client),
      ...(typeof line.error === 'string' ? { error: stillPrintable(line.error) } : {}),
      ...(line.final === true ? { final: true } : {}),
      ...(line.verify === true ? { verify: true } : {}),
    },
    time,
    count,
  };
}

function readFailure(line: Record<string, unknown>, time: string): LoggedFailure | 'foreign' {
  const reason = oneOf(FAILURE_REASONS, line.reason);
  // Beyond the lines that there are, they are counted by reason alone.
  const status = line.status ?? (reason === 'connection_timeout' ? 504 : 502);
  const count = countOf(line);
  if (reason === null || count === null || !isFailureStatus(status)) return 'foreign';
  const [error, client] = [textOf(line.error), textOf(line.client)];
  return { failure: { reason, status, error, client }, time, count };
}

function countOf({ repeated }: Record<string, unknown>): number | null {
  return repeated === undefined ? 1 : wholeNumber(repeated, Number.MAX_SAFE_INTEGER);
}

function parseObject(text: string): Record<string, unknown> | null {
  const start = text.indexOf('{');
  if (start === -1) return null;
  try {
    return JSON.parse(text.slice(start)) as Record<string, unknown>;
  } catch {
    return null;
  }
}

function timeOf(value: unknown): string | null {
  const time = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

function oneOf<Word extends string>(words: readonly Word[], value: unknown): Word | null {
  return words.find((word) => word === value) ?? null;
}

function wholeNumber(value: unknown, highest: number): number | null {
  const isFit = Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= highest;
  return isFit ? Number(value) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? stillPrintable(value) : null;
}
