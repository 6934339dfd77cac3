import { covers, type Network, networkAddress, parseNetwork, touches } from './addresses.ts';
import { parseHost } from './host.ts';

/** One entry of a client list. A name stands for whatever it resolves to at the time. */
export type ClientRule = { kind: 'network'; network: Network } | { kind: 'name'; name: string };

/**
 * Reads an entry of INGRESS_CLIENTS or EGRESS_CLIENTS: `10.89.77.3`, `10.89.77.0/24`, `fd00::/8`,
 * `[fd00::3]` or a name.
 * @returns the entry, or null if it is none of these.
 */
export function parseClient(text: string): ClientRule | null {
  const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const host = parseHost(
    address.includes(':') && !address.startsWith('[') ? `[${address}]` : address,
  );
  if (host?.kind === 'name') return prefix === undefined ? { kind: 'name', name: host.host } : null;
  if (host === null) return null;
  const bits = host.host.includes(':') ? 128 : 32;
  const length = prefix === undefined ? bits : Number(prefix);
  if (length > bits) return null;
  const network = parseNetwork(`${host.host}/${length}`);
  return networkAddress(network) === host.host ? { kind: 'network', network } : null;
}

/** Whether an address or network of the list covers a canonical address; names are not looked at. */
export function coversClient(clients: readonly ClientRule[], address: string): boolean {
  return clients.some((client) => client.kind === 'network' && covers(client.network, address));
}

/** Whether an address leads to one that the list covers, in whatever form it carries it. */
export function touchesClient(clients: readonly ClientRule[], address: string): boolean {
  return clients.some((client) => client.kind === 'network' && touches(client.network, address));
}
