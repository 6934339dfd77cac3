import { getDomain } from 'tldts';

/**
 * The registrable domain of a host: the part below a public suffix that somebody has registered, as
 * `example.co.uk` of `a.b.example.co.uk`.
 * @param host canonical, or what was sent instead of a host.
 * @returns null: it is an address, or has none.
 */
export function domainOf(host: string | null): string | null {
  return host === null ? null : getDomain(host, { allowPrivateDomains: true });
}
