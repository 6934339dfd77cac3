import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';

/**
 * Answers with server-sent events. The headers go out with the first of them.
 *
 * @param events gives the blocks of text to send; told by its signal when the client has gone away
 */
export function sendEvents(
  reply: FastifyReply,
  events: (gone: AbortSignal) => AsyncIterable<string>,
): FastifyReply {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return reply
    .type('text/event-stream')
    .header('cache-control', 'no-store')
    .send(Readable.from(events(gone.signal)));
}

/** Waits for a number of milliseconds, or until the signal says that nobody waits any more. */
export async function pause(ms: number, gone: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal: gone }).catch(() => {});
}

/** One server-sent event: its data as JSON, and its name if it has one. */
export function eventBlock(data: unknown, name?: string): string {
  return `${name ? `event: ${name}\n` : ''}data: ${JSON.stringify(data)}\n\n`;
}
