import { isIP } from 'node:net';
import { expect, vi } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import type { Reloaded } from '../../src/live/reload.ts';
import { createLogger } from '../../src/log/logger.ts';
import type { Resolve } from '../../src/net/resolve.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { cleanUp } from './proxy-cleanup.ts';

export type Line = Record<string, unknown>;

/** What each name resolves to; a name that is missing here is not found. */
export type Names = Record<string, readonly string[] | (() => Promise<string[]>)>;

/** A proxy on loopback that runs until the test ends. */
export interface TestProxy {
  /** The egress listener's. */
  port: number;
  url: string;
  /** The other listeners'; 0 for those that are off. */
  ports: { ingress: number; admin: number; tls: number; http: number; dns: number };
  /** Every line of the log, as it was written. */
  texts: string[];
  /** The names that were looked up, in order. */
  lookups: string[];
  /** The decisions in the log so far. */
  decisions(): Line[];
  /** The ends of connections in the log, once there are that many. */
  ends(count: number): Promise<Line[]>;
  /** Every other line of the log with that event. */
  events(event: string): Line[];
  /** Puts another configuration into force. @param env all of it. */
  reload(env: Record<string, string>): Reloaded;
  stop(): Promise<void>;
}

const DEFAULTS = {
  UPSTREAM: 'http://127.0.0.1:9',
  INGRESS_LISTEN: '127.0.0.1:0',
  EGRESS_LISTEN: '127.0.0.1:0',
  ADMIN_LISTEN: '127.0.0.1:0',
  SHUTDOWN_TIMEOUT: '1ms',
};

/** @param names what they resolve to, or what looks them up. */
export async function startProxy(
  env: Record<string, string> = {},
  names: Names | Resolve = {},
): Promise<TestProxy> {
  const texts: string[] = [];
  const lookups: string[] = [];
  const resolve: Resolve = async (name, signal) => {
    // As every look-up has it: an address stands for itself.
    if (isIP(name) !== 0) return [name];
    lookups.push(name);
    if (typeof names === 'function') return names(name, signal);
    const answer = names[name] ?? failing('ENOTFOUND');
    return typeof answer === 'function' ? answer() : [...answer];
  };
  const logger = createLogger('info', { write: (text) => texts.push(text) });
  const sidecar = new Sidecar(readConfig({ ...DEFAULTS, ...env }), logger, resolve);
  const { ingress, egress, admin, egress_tls, egress_http, dns } = await sidecar.start();
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= sidecar.stop());
  cleanUp(stop);
  const events = (event: string) =>
    texts.map((text) => JSON.parse(text) as Line).filter((line) => line.event === event);
  return {
    port: egress.port,
    url: `http://127.0.0.1:${egress.port}`,
    ports: {
      ingress: ingress.kind === 'tcp' ? ingress.port : 0,
      admin: admin.port,
      tls: egress_tls?.port ?? 0,
      http: egress_http?.port ?? 0,
      dns: dns?.port ?? 0,
    },
    texts,
    lookups,
    decisions: () => events('egress'),
    events,
    reload: (changed) => sidecar.apply(readConfig({ ...DEFAULTS, ...changed })),
    ends: async (count) => {
      await soon(() => expect(events('egress_end')).toHaveLength(count));
      return events('egress_end');
    },
    stop,
  };
}

/**
 * A proxy that lets through to a test server on loopback, as `origin.test`.
 * @param port the server's.
 */
export function startProxyTo(
  port: number,
  env: Record<string, string> = {},
  names: Names = {},
): Promise<TestProxy> {
  return startProxy(
    { EGRESS_ALLOW: `origin.test:${port} 127.0.0.1:${port}`, ...env },
    { 'origin.test': ['127.0.0.1'], ...names },
  );
}

/** A look-up that fails like getaddrinfo. */
export function failing(code: string): () => Promise<never> {
  return () => Promise.reject(Object.assign(new Error(`getaddrinfo ${code}`), { code }));
}

/** Waits until an expectation holds; the limit is no stopwatch. */
export function soon<Value>(expectation: () => Value): Promise<Value> {
  return vi.waitFor(expectation, { timeout: 60_000, interval: 5 });
}
