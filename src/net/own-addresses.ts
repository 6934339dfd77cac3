import { networkInterfaces } from 'node:os';
import { classifyAddress, covers, parseNetwork } from '../policy/addresses.ts';
import { canonicalAddress } from '../policy/host.ts';

/**
 * Whether an address is this machine's: one of its interfaces', any loopback address, or the
 * unspecified one, which the kernel takes for loopback. Linux takes the whole network of an IPv4 address
 * on a loopback interface for its own.
 * @param address canonical.
 */
export function isOwnAddress(address: string): boolean {
  const { name } = classifyAddress(address);
  if (name === 'loopback' || name === 'unspecified') return true;
  return (
    interfaceAddresses().includes(address) ||
    loopbackNetworks().some((network) => covers(parseNetwork(network), address))
  );
}

/** The canonical addresses of this machine's interfaces, as they are now. */
export function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => canonicalAddress(address));
}

function loopbackNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ internal, family, cidr }) =>
      internal && family === 'IPv4' && cidr !== null ? [cidr] : [],
    );
}
