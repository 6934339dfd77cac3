import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
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
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some((own) => canonicalAddress(own.address) === address || isOnLoopback(own, address));
}

function isOnLoopback({ internal, family, cidr }: NetworkInterfaceInfo, address: string): boolean {
  return internal && family === 'IPv4' && cidr !== null && covers(parseNetwork(cidr), address);
}
