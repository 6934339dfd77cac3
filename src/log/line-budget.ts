/** So many lines a second. */
export class LineBudget {
  readonly #lines: number;
  #second = 0;
  #taken = 0;

  constructor(lines: number) {
    this.#lines = lines;
  }

  /** Takes one. @returns false if there is none left in this second. */
  take(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#taken = 0;
    }
    this.#taken += 1;
    return this.#taken <= this.#lines;
  }
}
