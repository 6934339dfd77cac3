import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** An address block as rules and client lists write it. */
export interface Network {
  address: Address;
  prefix: number;
}

/** What an address is, as far as the policy cares. */
export interface AddressClass {
  /** `public`, or the name of the block it lies in. */
  name: string;
  /** Globally reachable unicast. */
  public: boolean;
  /** Link-local or metadata: no rule can open it. */
  never: boolean;
}

const PUBLIC: AddressClass = { name: 'public', public: true, never: false };

// Metadata services of clouds that do not all lie in link-local blocks.
const METADATA = [
  '169.254.169.254/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
];

// The IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates), and multicast.
// The few globally reachable assignments inside 192.0.0.0/24 and 2001::/23 are left closed: they
// are anycast addresses of protocols, not of hosts. The first block that matches counts.
const SPECIAL: [name: string, ...blocks: string[]][] = [
  ['metadata', ...METADATA],
  ['link_local', '169.254.0.0/16', 'fe80::/10'],
  ['loopback', '127.0.0.0/8', '::1/128'],
  ['unspecified', '0.0.0.0/8', '::/128'],
  ['private', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fec0::/10'],
  ['shared', '100.64.0.0/10'],
  ['protocol', '192.0.0.0/24', '2001::/23', '5f00::/16'],
  ['documentation', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'],
  ['documentation', '2001:db8::/32', '3fff::/20'],
  ['relay', '192.88.99.0/24', '2002::/16'],
  ['benchmarking', '198.18.0.0/15'],
  ['translation', '64:ff9b:1::/48', '::/96'],
  ['discard', '100::/64', '100:0:0:1::/64'],
  ['multicast', '224.0.0.0/4', 'ff00::/8'],
  ['reserved', '240.0.0.0/4'],
];

const NEVER = new Set(['metadata', 'link_local']);
const BLOCKS = SPECIAL.flatMap(([name, ...blocks]) =>
  blocks.map((block) => ({
    network: parseNetwork(block),
    result: { name, public: false, never: NEVER.has(name) },
  })),
);
const GLOBAL_UNICAST = parseNetwork('2000::/3');
const NAT64 = parseNetwork('64:ff9b::/96');
const SIX_TO_FOUR = parseNetwork('2002::/16');
const TEREDO = parseNetwork('2001::/32');
const LAST_32_BITS = ['::ffff:0:0/96', '::/96', '64:ff9b::/96', '64:ff9b:1::/48'].map(parseNetwork);

/**
 * Classifies an address by the IANA special-purpose registries. IPv6 that carries an IPv4 address
 * (NAT64, 6to4, Teredo, IPv4-compatible) is never better than the IPv4 address it carries.
 * @param text a canonical address.
 */
export function classifyAddress(text: string): AddressClass {
  const address = ipaddr.parse(text);
  const own = classify(address);
  const inner = embeddedIPv4(address);
  if (inner === null) return own;
  const carried = classify(inner);
  if (own.public) return carried;
  return { ...own, never: own.never || carried.never };
}

/** The network of `address/prefix`. @throws Error from ipaddr.js if it is none. */
export function parseNetwork(text: string): Network {
  const [address, prefix] = ipaddr.parseCIDR(text);
  return { address, prefix };
}

/** Whether the network covers a canonical address: what allows and who may have to match this way. */
export function covers(network: Network, text: string): boolean {
  return contains(network, ipaddr.parse(text));
}

/** Whether it covers the address or the IPv4 address that it carries: for what is to be kept out. */
export function touches(network: Network, text: string): boolean {
  const inner = embeddedIPv4(ipaddr.parse(text));
  return covers(network, text) || (inner !== null && contains(network, inner));
}

/** The first address of the network, which is how a rule has to write it. */
export function networkAddress({ address, prefix }: Network): string {
  const block = `${address.toString()}/${prefix}`;
  return address.kind() === 'ipv4'
    ? ipaddr.IPv4.networkAddressFromCIDR(block).toString()
    : ipaddr.IPv6.networkAddressFromCIDR(block).toRFC5952String();
}

function classify(address: Address): AddressClass {
  const block = BLOCKS.find(({ network }) => contains(network, address));
  if (block) return block.result;
  const global =
    address.kind() === 'ipv4' || contains(GLOBAL_UNICAST, address) || contains(NAT64, address);
  return global ? PUBLIC : { name: 'unallocated', public: false, never: false };
}

function contains({ address, prefix }: Network, candidate: Address): boolean {
  return candidate.kind() === address.kind() && candidate.match(address, prefix);
}

function embeddedIPv4(address: Address): ipaddr.IPv4 | null {
  if (address.kind() === 'ipv4') return null;
  const bytes = address.toByteArray();
  if (contains(SIX_TO_FOUR, address)) return new ipaddr.IPv4(bytes.slice(2, 6));
  // RFC 4380, section 4: the client's address stands inverted in a Teredo address.
  if (contains(TEREDO, address)) return new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff));
  if (!LAST_32_BITS.some((network) => contains(network, address))) return null;
  return new ipaddr.IPv4(bytes.slice(12));
}
