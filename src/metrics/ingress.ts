import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import {
  FAILURE_REASONS,
  type IngressObserver,
  type IngressRequest,
  type Outcome,
  type RequestEnd,
} from '../ingress/observer.ts';
import { LiveBytes } from './live-bytes.ts';

/** RFC 9110, section 9.1, and RFC 5789. */
const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
]);
/** A transcription may take an hour. */
const DURATION_BUCKETS = [
  0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600,
];
/** What there is to be seen of session-manager's requests, and of those that are refused. */
const EXPECTED: { methods: string[]; outcomes: Outcome[] } = {
  methods: ['GET', 'POST', 'other'],
  outcomes: [200, 400, 403, 431, 500, 502, 504, 508, 'client_closed', 'cut_off'],
};

/** Counts the requests to whisper, refused ones included, and what their connections carry. */
export class IngressMetrics implements IngressObserver {
  readonly #requests: Counter<'method' | 'status'>;
  readonly #durations: Histogram<'method' | 'status_class'>;
  readonly #failures: Counter<'reason'>;
  readonly #inFlight: Gauge;
  readonly #webSockets: Gauge;
  readonly #connections: Counter;
  readonly #openConnections: Gauge;
  readonly #bytes: LiveBytes<never>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: 'whisper_proxy_ingress_requests_total',
      help: "Requests to whisper that are over, refused ones included. The status is the answer's (a class like 4xx, if it is no standard one), or client_closed or cut_off, if there was no whole answer.",
      labelNames: ['method', 'status'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'whisper_proxy_ingress_request_duration_seconds',
      help: "From the end of a request's header to the end of its answer.",
      labelNames: ['method', 'status_class'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.#failures = new Counter({
      name: 'whisper_proxy_ingress_failures_total',
      help: 'Requests that whisper did not answer, or not to the end, by what failed (error types of RFC 9209).',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of FAILURE_REASONS) this.#failures.inc({ reason }, 0);
    this.#inFlight = new Gauge({
      name: 'whisper_proxy_ingress_requests_in_flight',
      help: 'Requests to whisper that have no whole answer yet.',
      registers,
    });
    this.#webSockets = new Gauge({
      name: 'whisper_proxy_ingress_open_websockets',
      help: 'WebSockets to whisper that are open now.',
      registers,
    });
    this.#connections = new Counter({
      name: 'whisper_proxy_ingress_connections_total',
      help: 'Connections that ingress has accepted, those of strangers included.',
      registers,
    });
    this.#openConnections = new Gauge({
      name: 'whisper_proxy_ingress_open_connections',
      help: 'Connections of clients that are open now.',
      registers,
    });
    const bytes = new Counter({
      name: 'whisper_proxy_ingress_bytes_total',
      help: 'Bytes on connections of clients, open ones included: in from them, out to them.',
      labelNames: ['direction'],
      registers,
      collect: () => this.#bytes.collect(),
    });
    this.#bytes = new LiveBytes(bytes);
    for (const direction of ['in', 'out']) bytes.inc({ direction }, 0);
    for (const method of EXPECTED.methods) {
      for (const outcome of EXPECTED.outcomes) {
        this.#requests.inc({ method, status: statusOf(outcome) }, 0);
      }
    }
  }

  connected(socket: Socket): void {
    this.#bytes.open(socket, {}, () => ({ in: socket.bytesRead, out: socket.bytesWritten }));
    this.#connections.inc();
    this.#openConnections.inc();
    socket.once('close', () => {
      this.#openConnections.dec();
      this.#bytes.end(socket);
    });
  }

  requestBegan(): void {
    this.#inFlight.inc();
  }

  requestEnded({ method }: IngressRequest, { outcome, duration_ms, failure }: RequestEnd): void {
    const known = method !== null && METHODS.has(method) ? method : 'other';
    const labels = { method: known, status_class: classOf(outcome) };
    this.#inFlight.dec();
    this.#requests.inc({ method: known, status: statusOf(outcome) });
    this.#durations.observe(labels, duration_ms / 1_000);
    if (failure !== null) this.#failures.inc({ reason: failure.reason });
  }

  webSocketBegan(): void {
    this.#webSockets.inc();
  }

  webSocketEnded(): void {
    this.#webSockets.dec();
  }
}

/** Whisper decides what its statuses are; those that nobody else knows go by their class. */
function statusOf(outcome: Outcome): string {
  return outcome in STATUS_CODES ? String(outcome) : classOf(outcome);
}

function classOf(outcome: Outcome): string {
  return typeof outcome === 'number' ? `${Math.floor(outcome / 100)}xx` : outcome;
}
