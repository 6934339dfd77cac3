import type { TalliedGroup } from './snapshot.ts';

/** Look-ups and TLS cannot be marked as requests can; these names are what `verify` asks for. */
const NAMES =
  /^(?:closed\.invalid|localhost|whisper|whisper-gate|whisper-proxy|(?:[0-9a-f]{60}\.[0-9a-f]{60}\.)?example\.(?:com|org|net))$/;

/**
 * Whether attempts look like those of `whisper-proxy verify`, which must be denied. Whisper could make
 * its own look like these; so they are only listed apart, never left out.
 */
export function isLikeVerify({ event, verify, via, host }: Readonly<TalliedGroup>): boolean {
  if (event !== 'egress') return false;
  if (verify) return true;
  const isUnmarkable = via.length > 0 && via.every((way) => way === 'dns' || way === 'tls');
  return isUnmarkable && host !== null && NAMES.test(host);
}
