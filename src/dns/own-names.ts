import { isIPv4 } from 'node:net';
import type { AnswerRecord } from './answer.ts';
import type { Name } from './reader.ts';

/** Which names the proxy answers for itself. The first of each kind is what an address is called. */
export interface OwnNames {
  /** The proxy's own address, IPv4. */
  address: string;
  /** Names of the proxy itself: `whisper-proxy`, its host name. */
  proxyNames: readonly string[];
  /** Names that whoever asks has itself (whisper-gate): answered with the asker's address. */
  clientNames: readonly string[];
}

const LOOPBACK = '127.0.0.1';
const LOCALHOST = 'localhost';

/**
 * Finds a name that the proxy answers for itself: `localhost` and all below it (RFC 6761, section 6.3),
 * its own names, those of whoever asks, and the names that belong to their addresses (RFC 1035,
 * section 3.5). Letter case does not matter.
 * @param client canonical address of who asks, or null.
 * @returns the one record that the name has, or null for every other name.
 */
export function findOwnName(
  name: Name,
  names: OwnNames,
  client: string | null,
): AnswerRecord | null {
  const text = name.text.toLowerCase();
  const is = (own: string) => own.toLowerCase() === text;
  // Label by label, since a dot may stand within one.
  if (name.labels.at(-1)?.toLowerCase() === LOCALHOST) return { type: 'A', address: LOOPBACK };
  if (names.proxyNames.some(is)) return { type: 'A', address: names.address };
  if (client !== null && isIPv4(client) && names.clientNames.some(is)) {
    return { type: 'A', address: client };
  }
  const called: [address: string | null, name: string | undefined][] = [
    [names.address, names.proxyNames[0]],
    [client, names.clientNames[0]],
    [LOOPBACK, LOCALHOST],
  ];
  const [, own] = called.find(([address, own]) => own && reverseName(address) === text) ?? [];
  return own === undefined ? null : { type: 'PTR', name: own };
}

/**
 * Whether the proxy answers for itself some name below this one. Then this one exists, though without
 * a record (RFC 8020); so does the root, which `localhost` is below.
 * @param client canonical address of who asks, or null.
 */
export function hasOwnNamesBelow(
  { text }: Name,
  { address, proxyNames, clientNames }: OwnNames,
  client: string | null,
): boolean {
  if (text === '') return true;
  const reverse = [address, client, LOOPBACK].flatMap((called) => reverseName(called) ?? []);
  const end = `.${text.toLowerCase()}`;
  return [...proxyNames, ...clientNames, ...reverse].some((own) => own.toLowerCase().endsWith(end));
}

function reverseName(address: string | null): string | null {
  return address && `${address.split('.').reverse().join('.')}.in-addr.arpa`;
}
