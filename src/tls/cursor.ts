/**
 * Reads numbers and vectors (RFC 8446, section 3) one after the other. What does not fit reads as
 * zero or as nothing, and so does all that follows: it is enough to look at `isWhole` at the end.
 */
export class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;
  #failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether there is more to read. */
  get hasMore(): boolean {
    return !this.#failed && this.#at < this.#bytes.length;
  }

  /** Whether everything fitted, and nothing is left over. */
  get isWhole(): boolean {
    return !this.#failed && this.#at === this.#bytes.length;
  }

  /** A number, most significant byte first. @param size of it in bytes. */
  number(size: number): number {
    return this.bytes(size).reduce((value, byte) => value * 256 + byte, 0);
  }

  bytes(size: number): Uint8Array {
    this.#failed ||= size > this.#bytes.length - this.#at;
    if (this.#failed) return new Uint8Array();
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  /** A vector of bytes. @param size of its length in bytes. */
  vector(size: number, shortest: number, longest = Number.POSITIVE_INFINITY): Uint8Array {
    const length = this.number(size);
    this.#failed ||= length < shortest || length > longest;
    return this.bytes(length);
  }
}
