import { type IncomingMessage, METHODS } from 'node:http';
import type { Socket } from 'node:net';
import { isTakenVersion } from '../http/framing.ts';
import { hostFieldFault } from '../http/host-field.ts';
import { MAX_FIELDS } from '../http/limits.ts';
import { isMarkedAsVerify } from '../http/verify-mark.ts';
import type { Via } from '../log/decision-log.ts';
import { peerAddress } from '../net/client-list.ts';
import { type Target, TargetError } from '../policy/target.ts';
import type { MessageFault } from './answer.ts';

/** A request to go out, whichever way it came. */
export interface Attempt {
  via: Via;
  method: string | null;
  /** The target as it was sent; null: none was. */
  text: string | null;
  /** Reads it. Throws TargetError. */
  parse: () => Target;
  /** Canonical address, or null. */
  client: string | null;
  /** Calls back if the client goes away or has gone; returns what unsubscribes. */
  onGone: (callback: () => void) => () => void;
  /** It came with Encrypted Client Hello. */
  ech?: true;
  /** It says that `whisper-proxy verify` made it. */
  verify?: true;
}

/** Node's parser takes these with RTSP/1.0 and ICE/1.0 as well, and does not tell. SOURCE is of ICE alone. */
const HTTP_METHODS = new Set(METHODS.filter((method) => method !== 'SOURCE'));

/** Checks what a request has to be, whatever it asks for. @throws TargetError */
export function checkMessage(request: IncomingMessage): void {
  if (!isTakenVersion(request.httpVersion) || !HTTP_METHODS.has(request.method ?? '')) {
    throw new TargetError('the request must be HTTP/1.1 or 1.0');
  }
  if (request.rawHeaders.length / 2 > MAX_FIELDS) {
    const sentence = `the header of the request has more than ${MAX_FIELDS} fields`;
    throw new TargetError(sentence, 'bad_target', 'too_many_fields' satisfies MessageFault);
  }
  const fault = hostFieldFault(request);
  if (fault !== null) throw new TargetError(fault);
}

/** The attempt that a request on a connection makes. @param request where it is HTTP. */
export function attemptOf(
  via: Via,
  method: string | null,
  text: string | null,
  client: Socket,
  parse: () => Target,
  request?: IncomingMessage,
): Attempt {
  return {
    ...(request && isMarkedAsVerify(request) ? { verify: true } : {}),
    via,
    method,
    text,
    parse,
    client: peerAddress(client.remoteAddress),
    onGone: (callback) => {
      if (client.destroyed) callback();
      client.once('close', callback);
      return () => client.removeListener('close', callback);
    },
  };
}
