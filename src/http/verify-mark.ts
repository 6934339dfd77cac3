import type { IncomingMessage } from 'node:http';

/** The User-Agent of requests that `whisper-proxy verify` makes. */
export const VERIFY_AGENT = 'whisper-proxy-verify';

/**
 * Whether a request says that `verify` made it. Anybody can say so: it decides nothing, and reports only
 * list such requests apart, all of them.
 */
export function isMarkedAsVerify({ headers }: IncomingMessage): boolean {
  return headers['user-agent'] === VERIFY_AGENT;
}
