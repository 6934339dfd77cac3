import type { Socket } from 'node:net';
import type { DecisionLog, EndTotals, Recorded } from '../log/decision-log.ts';
import type { Target } from '../policy/target.ts';

/** What a passage is made of. */
export interface PassageParts {
  target: Target;
  socket: Socket;
  recorded: Recorded;
  log: DecisionLog;
  /** Called once, when it is over. */
  onEnd: () => void;
}

/**
 * A connection that was let through. Whoever gets one calls `end` when it is over, and must do
 * something with its socket before anything else happens.
 */
export class Passage {
  readonly admitted = true;
  readonly target: Target;
  readonly socket: Socket;
  readonly #parts: PassageParts;
  readonly #started = performance.now();
  #ended = false;

  constructor(parts: PassageParts) {
    this.target = parts.target;
    this.socket = parts.socket;
    this.#parts = parts;
  }

  /** Logs its end. @param error why it ended, if not in good order. */
  end(error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#parts.onEnd();
    this.#parts.log.end(this.#parts.recorded, {
      ...this.#totals(),
      ...(error === undefined ? {} : { error }),
    });
  }

  #totals(): EndTotals {
    return {
      bytes_out: this.socket.bytesWritten,
      bytes_in: this.socket.bytesRead,
      duration_ms: Math.round(performance.now() - this.#started),
    };
  }
}
