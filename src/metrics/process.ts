import { readdirSync } from 'node:fs';
import {
  constants,
  monitorEventLoopDelay,
  type PerformanceEntry,
  PerformanceObserver,
} from 'node:perf_hooks';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const LAG_RESOLUTION_MS = 20;
const GC_BUCKETS = [0.001, 0.01, 0.1, 1];
const GC_KINDS = new Map([
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
]);

type Collection = PerformanceEntry & { detail: { kind: number } };

/**
 * What the process uses, under the names that dashboards for Node expect. prom-client's own default
 * metrics start observers that nothing can stop.
 */
export class ProcessMetrics {
  readonly #lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  readonly #collections: PerformanceObserver;

  constructor(registry: Registry) {
    addUsage(registry);
    this.#addLag(registry);
    this.#collections = observeCollections(registry);
  }

  /** Begins to measure the event loop and garbage collection. */
  start(): void {
    this.#lag.enable();
    this.#collections.observe({ entryTypes: ['gc'] });
  }

  stop(): void {
    this.#lag.disable();
    this.#collections.disconnect();
  }

  #addLag(registry: Registry): void {
    const registers = [registry];
    const name = (figure: string) => `nodejs_eventloop_lag_${figure}_seconds`;
    const since = 'of how late the event loop was, since the last scrape.';
    const mean = new Gauge({
      name: name('mean'),
      help: `Mean ${since}`,
      registers,
      // The first of the three that a scrape reads sets them all.
      collect: () => {
        mean.set(lateness(this.#lag.mean));
        p99.set(lateness(this.#lag.percentile(99)));
        max.set(lateness(this.#lag.max));
        this.#lag.reset();
      },
    });
    const p99 = new Gauge({ name: name('p99'), help: `99th percentile ${since}`, registers });
    const max = new Gauge({ name: name('max'), help: `Maximum ${since}`, registers });
  }
}

/** Seconds. Node measures from one tick of its timer to the next, so their distance is no delay. */
function lateness(nanoseconds: number): number {
  // Nothing was measured yet: the mean is no number, and the maximum 0.
  return Math.max(0, nanoseconds / NANOSECONDS - LAG_RESOLUTION_MS / 1_000) || 0;
}

function observeCollections(registry: Registry): PerformanceObserver {
  const durations = new Histogram({
    name: 'nodejs_gc_duration_seconds',
    help: 'How long garbage collections took, by kind.',
    labelNames: ['kind'],
    buckets: GC_BUCKETS,
    registers: [registry],
  });
  return new PerformanceObserver((list) => {
    for (const { duration, detail } of list.getEntries() as Collection[]) {
      durations.observe({ kind: GC_KINDS.get(detail.kind) ?? 'other' }, duration / 1_000);
    }
  });
}

function addUsage(registry: Registry): void {
  const registers = [registry];
  const counter = (name: string, help: string, read: () => number) => {
    const metric = new Counter({
      name,
      help,
      registers,
      collect: () => {
        metric.reset();
        metric.inc(read());
      },
    });
  };
  const gauge = (name: string, help: string, read: () => number) => {
    const metric: Gauge = new Gauge({ name, help, registers, collect: () => metric.set(read()) });
  };
  const { cpuUsage, memoryUsage, uptime } = process;
  const cpuSeconds = () => (cpuUsage().user + cpuUsage().system) / MICROSECONDS;
  counter('process_cpu_seconds_total', 'User and system CPU time spent, in seconds.', cpuSeconds);
  const started = Date.now() / 1_000 - uptime();
  gauge(
    'process_start_time_seconds',
    'When the process started, in seconds since 1970.',
    () => started,
  );
  gauge('process_resident_memory_bytes', 'Resident memory.', () => memoryUsage.rss());
  gauge('nodejs_heap_size_total_bytes', 'Size of the heap.', () => memoryUsage().heapTotal);
  gauge('nodejs_heap_size_used_bytes', 'What of the heap is used.', () => memoryUsage().heapUsed);
  gauge(
    'nodejs_external_memory_bytes',
    'Memory outside the heap that objects in it hold, such as buffers.',
    () => memoryUsage().external,
  );
  if (process.platform !== 'linux') return;
  // One of them is that which reads the folder.
  const openFiles = () => readdirSync('/proc/self/fd').length - 1;
  gauge('process_open_fds', 'Open file descriptors.', openFiles);
}
