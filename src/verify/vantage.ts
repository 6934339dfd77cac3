import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** Where the probes are sent from. Addresses are IPv4, as whisper-net is. */
export interface Vantage {
  /** The address on the network that is looked at. */
  own: string;
  /** The interface that has it. */
  device: string;
  /** The default route's, or else the first address of the own network: that is the host too. */
  gateway: string;
  broadcast: string;
  /** An address of the own network that is neither of these. */
  neighbour: string;
  /** Those of /etc/resolv.conf. */
  nameServers: string[];
}

/** There is no network to look from; the message says what to do. */
export class VantageError extends Error {}

/**
 * Reads where this process is.
 * @param towards an address, whose network is preferred if there are several.
 * @throws VantageError if there is no interface with an IPv4 address but loopback.
 */
export function readVantage(towards: string): Vantage {
  const all = Object.entries(networkInterfaces()).flatMap(([device, infos]) =>
    (infos ?? []).map((info) => ({ device, info })),
  );
  const usable = all.filter(({ info }) => info.family === 'IPv4' && !info.internal);
  const chosen = usable.find(({ info }) => isInNetwork(towards, info)) ?? usable[0];
  if (!chosen) {
    throw new VantageError(
      'there is no network here; run it in the namespace of whisper: --network container:whisper-gate',
    );
  }
  return describeVantage(
    chosen.device,
    chosen.info,
    readLines('/proc/net/route'),
    readLines('/etc/resolv.conf'),
  );
}

/**
 * What an interface, the routes and the resolver's configuration say.
 * @param routes the lines of /proc/net/route (proc(5)).
 * @param resolv the lines of /etc/resolv.conf (resolv.conf(5)).
 */
export function describeVantage(
  device: string,
  info: Pick<NetworkInterfaceInfo, 'address' | 'netmask'>,
  routes: readonly string[],
  resolv: readonly string[],
): Vantage {
  const own = toNumber(info.address);
  const mask = toNumber(info.netmask);
  const network = (own & mask) >>> 0;
  const broadcast = (network | ~mask) >>> 0;
  const gateway = findGateway(routes) ?? toAddress(network + 1);
  const taken = [own, toNumber(gateway)];
  let neighbour = broadcast - 1;
  while (taken.includes(neighbour)) neighbour -= 1;
  return {
    own: info.address,
    device,
    gateway,
    broadcast: toAddress(broadcast),
    neighbour: toAddress(neighbour),
    nameServers: resolv
      .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
      .filter((address) => isIPv4(address)),
  };
}

function findGateway(routes: readonly string[]): string | null {
  for (const line of routes) {
    const [, destination, gateway = ''] = line.split('\t');
    // The kernel prints its own byte order, and all that Node runs on are little-endian.
    if (destination !== '00000000' || !/^(?!0{8})[0-9A-F]{8}$/.test(gateway)) continue;
    return [...Buffer.from(gateway, 'hex')].reverse().join('.');
  }
  return null;
}

function isInNetwork(address: string, info: NetworkInterfaceInfo): boolean {
  const mask = toNumber(info.netmask);
  return ((toNumber(address) ^ toNumber(info.address)) & mask) === 0;
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
