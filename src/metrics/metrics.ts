import { Registry } from 'prom-client';
import type { Config } from '../config/config.ts';
import type { IngressObserver } from '../ingress/observer.ts';
import type { RulesInForce } from '../live/rules-in-force.ts';
import type { DecisionObserver, DecisionRecord, EndTotals, Via } from '../log/decision-log.ts';
import { addBuildMetric } from './build.ts';
import { ConfigurationMetrics } from './configuration.ts';
import { ConnectionMetrics } from './connections.ts';
import { DecisionMetrics } from './decisions.ts';
import { IngressMetrics } from './ingress.ts';
import { ProcessMetrics } from './process.ts';
import { addUpstreamMetric } from './upstream.ts';

/**
 * Everything that Prometheus can scrape from one proxy, in a registry of its own. No label has a value
 * that whisper or a client could make up: their number is bounded whatever comes.
 */
export class Metrics implements DecisionObserver {
  readonly ingress: IngressObserver;
  readonly #registry = new Registry();
  readonly #decisions: DecisionMetrics;
  readonly #connections: ConnectionMetrics;
  readonly #configuration: ConfigurationMetrics;
  readonly #process: ProcessMetrics;

  /** @param egress tells which ways in are open. */
  constructor(egress: Config['egress'], rules: RulesInForce) {
    const vias = viasOf(egress);
    this.#decisions = new DecisionMetrics(this.#registry, rules, vias);
    this.#connections = new ConnectionMetrics(this.#registry, vias);
    this.ingress = new IngressMetrics(this.#registry);
    this.#configuration = new ConfigurationMetrics(this.#registry, rules);
    this.#process = new ProcessMetrics(this.#registry);
    addBuildMetric(this.#registry);
  }

  /** Begins to measure the process, until `stop`. @param isUp finds out whether whisper listens. */
  start(isUp: () => Promise<boolean>): void {
    addUpstreamMetric(this.#registry, isUp);
    this.#process.start();
  }

  stop(): void {
    this.#process.stop();
  }

  /** The media type of what `expose` gives. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All of it in Prometheus' text format. */
  expose(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Notes that the configuration was read again. @param successful whether it is in force now. */
  reloaded(successful: boolean): void {
    this.#configuration.reloaded(successful);
  }

  decided(record: DecisionRecord): void {
    this.#decisions.count(record);
  }

  opened(record: DecisionRecord, totals: () => EndTotals): void {
    this.#connections.opened(record, totals);
  }

  ended(record: DecisionRecord, totals: EndTotals): void {
    this.#connections.ended(record, totals);
  }
}

function viasOf({ tlsListen, httpListen, dnsListen }: Config['egress']): ReadonlySet<Via> {
  const vias: Via[] = ['connect', 'http'];
  if (tlsListen) vias.push('tls');
  if (httpListen) vias.push('transparent_http');
  if (dnsListen) vias.push('dns');
  return new Set(vias);
}
