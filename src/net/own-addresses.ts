import { networkInterfaces } from 'node:os';
import { classifyAddress } from '../policy/addresses.ts';
import { canonicalAddress } from '../policy/host.ts';

/**
 * Whether an address is this machine's: one of its interfaces', any loopback address, or the
 * unspecified one, which the kernel takes for loopback.
 * @param address canonical.
 */
export function isOwnAddress(address: string): boolean {
  const { name } = classifyAddress(address);
  if (name === 'loopback' || name === 'unspecified') return true;
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some((own) => canonicalAddress(own.address) === address);
}
