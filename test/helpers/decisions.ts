import type { DecisionRecord } from '../../src/log/decision-log.ts';

/** A denial, as the program hands it to those who observe. */
export const DENIED: DecisionRecord = {
  event: 'egress',
  decision: 'deny',
  reason: 'not_allowed',
  rule: null,
  via: 'connect',
  method: 'CONNECT',
  host: 'hf.co',
  port: 443,
  address: null,
  client: '10.89.77.3',
  id: 'a1',
};

export const ALLOWED: DecisionRecord = {
  ...DENIED,
  decision: 'allow',
  reason: null,
  rule: 'MODELS hf.co',
  address: '192.0.2.1',
};
