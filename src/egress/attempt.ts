import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Via } from '../log/decision-log.ts';
import { peerAddress } from '../net/client-list.ts';
import type { Target } from '../policy/target.ts';
import type { Attempt } from './admission.ts';

/** The attempt that an HTTP request makes. */
export function attemptOf(
  via: Via,
  request: IncomingMessage,
  client: Socket,
  parse: () => Target,
): Attempt {
  return {
    via,
    method: request.method ?? null,
    text: request.url ?? '',
    parse,
    client: peerAddress(client.remoteAddress),
    onGone: (callback) => {
      client.once('close', callback);
      return () => client.removeListener('close', callback);
    },
  };
}
