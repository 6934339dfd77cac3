import type { Socket } from 'node:net';
import { endWith } from '../http/last-answer.ts';
import { reset } from '../net/reset.ts';
import { type AlertDescription, alert } from './alert.ts';

/** Ends a connection that should have been TLS: with an alert, or, where none fits (null), with a reset. */
export function turnAway(client: Socket, description: AlertDescription | null): void {
  if (description === null) reset(client);
  else endWith(client, alert(description));
}
