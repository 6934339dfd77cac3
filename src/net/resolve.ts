/**
 * Looks a name up. An address stands for itself.
 * @param signal aborted: nobody waits for the answer any more.
 * @returns its canonical addresses, at least one, in the order to try them in.
 * @throws ResolveError; the signal's reason, if that is aborted.
 */
export type Resolve = (name: string, signal?: AbortSignal) => Promise<string[]>;

/** The codes of getaddrinfo(3) as Node has them: does not exist or has no address; try again later. */
export type ResolveCode = 'ENOTFOUND' | 'EAI_AGAIN';

/** A look-up that found no address. */
export class ResolveError extends Error {
  readonly code: ResolveCode;

  constructor(code: ResolveCode, name: string) {
    super(code === 'ENOTFOUND' ? `${name} does not exist` : `${name} cannot be looked up now`);
    this.code = code;
  }
}
