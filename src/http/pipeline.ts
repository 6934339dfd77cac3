import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that may wait for their answers; clients that pipeline at all send few. */
const MAX_UNANSWERED = 8;

/** The answers that are still to come on each connection. */
export type Unanswered = WeakMap<Socket, Set<ServerResponse>>;

/**
 * Bounds what one connection can ask at once. Node takes every request that a connection brings,
 * before the first is answered; one packet of small ones would keep the program busy for seconds. A
 * connection that brings more is dropped, and one that goes away takes its queued requests along,
 * of which Node would not tell.
 * @param onDrop told of each connection that is dropped, with its requests that have no answer yet.
 */
export function limitPipelining(
  listener: RequestListener,
  unanswered: Unanswered = new WeakMap(),
  onDrop: (dropped: readonly IncomingMessage[]) => void = () => undefined,
): RequestListener {
  return (request: IncomingMessage, response) => {
    const { socket } = request;
    if (socket.destroyed) return;
    const queue = unanswered.get(socket) ?? startQueue(socket);
    unanswered.set(socket, queue);
    if (queue.size >= MAX_UNANSWERED) {
      onDrop([...[...queue].map(({ req }) => req), request]);
      socket.destroy();
      return;
    }
    queue.add(response);
    response.once('close', () => queue.delete(response));
    listener(request, response);
  };
}

/**
 * Waits until every request that a connection has brought so far is answered: whatever comes next on
 * it is answered after them (RFC 9112, section 9.3.2).
 */
export async function untilAnswered(unanswered: Unanswered, socket: Socket): Promise<void> {
  for (const response of unanswered.get(socket) ?? []) {
    await new Promise((resolve) => response.once('close', resolve));
  }
}

/** Whether a request of a connection still waits for its answer, or for the rest of it. */
export function hasUnanswered(unanswered: Unanswered, socket: Socket): boolean {
  return (unanswered.get(socket)?.size ?? 0) > 0;
}

/**
 * Whether an answer to a request that cannot be read would be taken for the answer to that one: no
 * earlier request waits for its own. The part that can be read may have been one by itself.
 */
export function isNextAnswer(unanswered: Unanswered, socket: Socket): boolean {
  const [first, ...others] = unanswered.get(socket) ?? [];
  if (first === undefined) return true;
  return others.length === 0 && !first.req.complete && !first.headersSent;
}

function startQueue(socket: Socket): Set<ServerResponse> {
  const queue = new Set<ServerResponse>();
  socket.once('close', () => {
    for (const response of queue) {
      // Node closes the response that has the socket; the queued ones have none, and would stay.
      if (response.socket === null) response.destroy().emit('close');
    }
  });
  return queue;
}
