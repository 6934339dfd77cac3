import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { IngressObserver, IngressRequest, RequestEnd } from '../ingress/observer.ts';
import type { DecisionObserver, DecisionRecord } from '../log/decision-log.ts';
import { LineBudget } from '../log/line-budget.ts';
import type { StatusFeed } from './status.ts';

interface Reader {
  response: ServerResponse;
  /** Decisions that it was not told of since the last that it was. */
  skipped: number;
  /** Keep-alives in a row that it had no room for. */
  missed: number;
}

const READERS = 16;
/** Decisions a second. Apart, so that a stranger at ingress cannot hide what whisper tries. */
const EGRESS_EVENTS = 40;
const INGRESS_EVENTS = 10;
/** Bytes that wait for a reader, at most. */
const BACKLOG = 65_536;
const KEEP_ALIVE_MS = 15_000;
/** After so many keep-alives a reader that takes nothing has lost its place. */
const PATIENCE = 4;
const TELL_SKIPPED_MS = 1_000;

/**
 * The decisions as they are made, as server-sent events (HTML standard, section 9.2): `decision` with
 * the record as it is logged and its `time`, `failure` where whisper failed at ingress, `skipped` with
 * a number where there were too many. The memory is bounded: by the number of readers, and what waits
 * for each of them.
 */
export class DecisionEvents implements DecisionObserver, IngressObserver {
  readonly #readers = new Set<Reader>();
  readonly #budgets = {
    egress: new LineBudget(EGRESS_EVENTS),
    ingress: new LineBudget(INGRESS_EVENTS),
  };
  readonly #keepAlive = setInterval(() => this.#keepAllAlive(), KEEP_ALIVE_MS).unref();
  #telling: NodeJS.Timeout | undefined;
  #closed = false;

  decided(record: DecisionRecord): void {
    this.#tell('decision', record.event, record);
  }

  requestEnded({ client }: IngressRequest, { failure, outcome }: RequestEnd): void {
    if (failure !== null) this.#tell('failure', 'ingress', { ...failure, status: outcome, client });
  }

  #tell(name: string, listener: 'egress' | 'ingress', data: object): void {
    if (this.#readers.size === 0) return;
    const isWithin = this.#budgets[listener].take();
    const event = isWithin ? format(name, { time: new Date().toISOString(), ...data }) : null;
    for (const reader of this.#readers) {
      if (event === null || !hasRoom(reader)) {
        reader.skipped += 1;
        this.#tellSkippedSoon();
      } else {
        tellSkipped(reader);
        reader.response.write(event);
      }
    }
  }

  /**
   * Takes a response for a reader, until one of the two goes away.
   * @param status where its `status` and `tick` come from, if it wants them.
   * @returns false if there is no place for it.
   */
  add(response: ServerResponse, status: StatusFeed | null = null): boolean {
    if (this.#closed || this.#readers.size >= READERS) return false;
    const reader: Reader = { response, skipped: 0, missed: 0 };
    this.#readers.add(reader);
    response.once('close', () => this.#readers.delete(reader));
    response.on('error', () => response.destroy());
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
    });
    // Without a first byte the reader would not know that it is heard.
    response.write(': decisions\n\n');
    if (status !== null) {
      const unsubscribe = status.subscribe((event, json) => {
        if (hasRoom(reader)) response.write(frame(event, json));
      });
      response.once('close', unsubscribe);
    }
    return true;
  }

  /** Ends every reader's stream, and takes no more. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#keepAlive);
    clearTimeout(this.#telling);
    for (const { response } of this.#readers) {
      if (response.writableLength > 0) response.destroy();
      else response.end(() => response.destroy());
    }
  }

  #tellSkippedSoon(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      for (const reader of this.#readers) {
        if (hasRoom(reader)) tellSkipped(reader);
        else this.#tellSkippedSoon();
      }
    }, TELL_SKIPPED_MS).unref();
  }

  #keepAllAlive(): void {
    for (const reader of this.#readers) {
      reader.missed = hasRoom(reader) ? 0 : reader.missed + 1;
      if (reader.missed >= PATIENCE) reader.response.destroy();
      else if (reader.missed === 0) reader.response.write(': still here\n\n');
    }
  }
}

/**
 * Adds `GET /events`; without HEAD, which would have no end. With `?status`, the status is pushed as
 * well: see `StatusFeed`.
 */
export function addEvents(app: FastifyInstance, events: DecisionEvents, status: StatusFeed): void {
  app.get('/events', { exposeHeadRoute: false }, async ({ query }, reply) => {
    const wantsStatus = Object.hasOwn(query as object, 'status');
    if (events.add(reply.raw, wantsStatus ? status : null)) return reply.hijack();
    reply.header('Retry-After', '5');
    return reply.code(503).send({ error: `no more than ${READERS} can read at once` });
  });
}

function hasRoom({ response }: Reader): boolean {
  return response.writableLength < BACKLOG;
}

function tellSkipped(reader: Reader): void {
  if (reader.skipped === 0) return;
  reader.response.write(format('skipped', { skipped: reader.skipped }));
  reader.skipped = 0;
}

function format(event: string, data: object): string {
  return frame(event, JSON.stringify(data));
}

function frame(event: string, json: string): string {
  return `event: ${event}\ndata: ${json}\n\n`;
}
