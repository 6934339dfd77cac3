import { LineBudget } from './line-budget.ts';
import type { Logger } from './logger.ts';

type Fields = Record<string, unknown>;

interface Fold {
  fields: Fields;
  repeated: number;
}

/** One line of several that are alike. */
interface FoldedLine {
  fields: Fields;
  /** What those that are alike share, which is all that their later line has. */
  alike: Fields;
  /** What is left to say of those that are beyond the budget. */
  beyond: Fields;
}

const WINDOW_MS = 10_000;

/**
 * Lines of one kind, bounded whatever happens: the first of those that are alike is written at once,
 * and the others within ten seconds become one later line that counts them in `repeated`. Lines
 * beyond the budget are counted in the same way. Nothing goes uncounted.
 */
export class FoldedLines {
  readonly #write: (fields: Fields) => void;
  readonly #budget: LineBudget;
  readonly #folds = new Map<string, Fold>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** @param lines at most, a second. */
  constructor(logger: Logger, level: 'info' | 'warn', lines: number) {
    this.#write = (fields) => logger[level](fields);
    this.#budget = new LineBudget(lines);
  }

  /** Writes a line, or counts it. */
  write({ fields, alike, beyond }: FoldedLine): void {
    const key = JSON.stringify(alike);
    const fold = this.#folds.get(key);
    if (fold) fold.repeated += 1;
    else if (this.#budget.take()) {
      this.#write(fields);
      this.#open(key, { fields: alike, repeated: 0 });
    } else this.#count(beyond, 1);
  }

  /** Writes a line that is like no other, or counts it. */
  writeSingle(fields: Fields, beyond: Fields): void {
    if (this.#budget.take()) this.#write(fields);
    else this.#count(beyond, 1);
  }

  /** Writes every count that is still open. */
  close(): void {
    for (const key of [...this.#folds.keys()]) this.#close(key);
  }

  #count(fields: Fields, repeated: number): void {
    const key = JSON.stringify(fields);
    const fold = this.#folds.get(key);
    if (fold) fold.repeated += repeated;
    else this.#open(key, { fields, repeated });
  }

  #open(key: string, fold: Fold): void {
    this.#folds.set(key, fold);
    this.#timers.set(key, setTimeout(() => this.#close(key), WINDOW_MS).unref());
  }

  #close(key: string): void {
    const fold = this.#folds.get(key);
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    this.#folds.delete(key);
    if (fold && fold.repeated > 0) this.#write({ ...fold.fields, repeated: fold.repeated });
  }
}
