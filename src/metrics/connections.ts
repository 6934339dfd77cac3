import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { DecisionRecord, EndTotals, Via } from '../log/decision-log.ts';
import { LiveBytes } from './live-bytes.ts';

const DURATION_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 14_400];

/** Counts the connections that egress lets through, and what they carry. */
export class ConnectionMetrics {
  readonly #open: Gauge<'via'>;
  readonly #durations: Histogram<'via'>;
  readonly #bytes: LiveBytes<'via'>;

  /** @param vias the ways in that are open. */
  constructor(registry: Registry, vias: ReadonlySet<Via>) {
    const registers = [registry];
    this.#open = new Gauge({
      name: 'whisper_proxy_egress_open_connections',
      help: 'Connections to targets that are open now.',
      labelNames: ['via'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'whisper_proxy_egress_connection_duration_seconds',
      help: 'How long connections to targets lasted that have ended.',
      labelNames: ['via'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    const bytes = new Counter({
      name: 'whisper_proxy_egress_bytes_total',
      help: 'Bytes that connections to targets have carried, open ones included: out to them, in from them.',
      labelNames: ['direction', 'via'],
      registers,
      collect: () => this.#bytes.collect(),
    });
    this.#bytes = new LiveBytes(bytes);
    for (const via of vias) {
      // A look-up has no connection.
      if (via === 'dns') continue;
      this.#open.set({ via }, 0);
      this.#durations.zero({ via });
      for (const direction of ['in', 'out']) bytes.inc({ direction, via }, 0);
    }
  }

  opened(record: DecisionRecord, totals: () => EndTotals): void {
    const { via } = record;
    this.#open.inc({ via });
    this.#bytes.open(record, { via }, () => {
      const { bytes_in, bytes_out } = totals();
      return { in: bytes_in, out: bytes_out };
    });
  }

  ended(record: DecisionRecord, { duration_ms }: EndTotals): void {
    const { via } = record;
    this.#open.dec({ via });
    this.#durations.observe({ via }, duration_ms / 1_000);
    this.#bytes.end(record);
  }
}
