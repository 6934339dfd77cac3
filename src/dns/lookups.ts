import type { Logger } from '../log/logger.ts';
import type { Verdict } from '../policy/decide.ts';
import { formatAnswer } from './answer.ts';
import { findOwnName, hasOwnNamesBelow, type OwnNames } from './own-names.ts';
import { type Fault, type Query, type Rcode, readQuery } from './query.ts';

/** A look-up, as the policy and the log see it. Name and type are empty where they cannot be read. */
export interface Lookup {
  /**
   * The name as it was sent, without the final dot: one character for each byte, and a dot or
   * backslash within a label escaped as \. and \\ so that it cannot be mistaken for another name.
   */
  name: string;
  /** Its type by name: A, AAAA, TXT, HTTPS, or TYPE<n> for the unknown. */
  type: string;
  /** Canonical address of who asks, or null. */
  client: string | null;
  /** Whether it is one of the names that the proxy answers for itself, which no rule decides about. */
  own: boolean;
  /** What is wrong with a query that cannot be answered, or null. */
  fault: Rcode | null;
}

export interface NameServerOptions extends OwnNames {
  /** Decides and logs; called for own names too, since who asks may still be refused. */
  admit: (lookup: Lookup) => Promise<Verdict>;
  /** Whether a client may ask anything at all; that it may not is logged. */
  admitClient: (client: string | null) => Promise<boolean>;
  /** Told of who is not heard, since there is too much to do. */
  onDrop: (client: string | null) => void;
  logger: Logger;
}

/** From a message and who sent it to the answer, or null where none may be given. It never rejects. */
export type Respond = (message: Buffer, client: string | null) => Promise<Buffer | null>;

/**
 * Answers look-ups, and forwards none:
 *
 *     readQuery ─▶ findOwnName ─▶ admit ─▶ formatAnswer
 *         └─────────────────────────────────────▲
 *
 * A name that is let through has one record, the IPv4 address of the proxy. A name with others below it
 * that are let through, or the proxy's own, has none. Any other does not exist. Only who may ask nothing
 * at all is told so.
 */
export function createRespond({
  admit,
  logger,
  ...names
}: Omit<NameServerOptions, 'admitClient' | 'onDrop'>): Respond {
  const answer = async (query: Query, client: string | null) => {
    const { name, type } = query;
    const own = findOwnName(name, names, client);
    const verdict = await admit({
      name: name.text,
      type,
      client,
      own: own !== null,
      fault: null,
    });
    if (verdict.decision === 'deny') {
      const exists = verdict.hasNamesBelow || hasOwnNamesBelow(name, names, client);
      return formatAnswer(query, denialCode(verdict, exists));
    }
    const record = own ?? { type: 'A', address: names.address };
    return formatAnswer(query, 'NOERROR', record.type === type ? record : null);
  };

  const refuse = async (fault: Fault, client: string | null) => {
    const { name, type = '', rcode } = fault;
    const asked = { name: name?.text ?? '', type, client, own: false, fault: rcode };
    const { reason } = await admit(asked);
    return formatAnswer(fault, reason === 'client_not_allowed' ? 'REFUSED' : rcode);
  };

  return async (message, client) => {
    const query = readQuery(message);
    if (query === null) return null;
    try {
      return 'rcode' in query ? await refuse(query, client) : await answer(query, client);
    } catch (err) {
      logger.error({ err }, 'a look-up failed');
      return formatAnswer(query, 'SERVFAIL');
    }
  };
}

function denialCode({ reason }: Verdict, exists: boolean): Rcode {
  if (reason === 'client_not_allowed') return 'REFUSED';
  return exists ? 'NOERROR' : 'NXDOMAIN';
}
