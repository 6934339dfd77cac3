/** Counts the bytes that a client sends on one connection, against what it may send. */
export class UploadMeter {
  readonly #limit: number;
  #sent = 0;

  /** @param limit bytes; null: any number. */
  constructor(limit: number | null) {
    this.#limit = limit ?? Infinity;
  }

  /** Counts more bytes. @returns whether they may still go; once they may not, nothing may. */
  take(bytes: number): boolean {
    this.#sent += bytes;
    return this.#sent <= this.#limit;
  }
}
