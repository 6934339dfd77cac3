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
  /** Link-local, metadata or unspecified: no rule can open it. */
  never: boolean;
}

const PUBLIC: AddressClass = { name: 'public', public: true, never: false };

// Metadata services of clouds that do not all lie in link-local blocks.
const METADATA = [
  '169.254.169.254/32',
  '100.100.100.200/32', // Alibaba
  '168.63.129.16/32', // Azure
  '192.0.0.192/32', // Oracle, classic
  'fd00:ec2::/32', // AWS: instance metadata, pod identity, name server, time
  'fd20:ce::254/128', // Google
  'fd00:c1::a9fe:a9fe/128', // Oracle
  'fd00:42::42/128', // Scaleway
  'fd00:a9fe:a9fe::1/128', // Linode
  'fd00:100::100:200/128', // Alibaba
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

// Linux connects 0.0.0.0 and :: to this machine itself. The rest of 0.0.0.0/8 is no destination either
// (RFC 6890, section 2.2.2).
const NEVER = new Set(['metadata', 'link_local', 'unspecified']);
const BLOCKS = SPECIAL.flatMap(([name, ...blocks]) =>
  blocks.map((block) => ({
    network: parseNetwork(block),
    result: { name, public: false, never: NEVER.has(name) },
  })),
);
const GLOBAL_UNICAST = parseNetwork('2000::/3');
const NAT64 = parseNetwork('64:ff9b::/96');
const NAT64_LOCAL = parseNetwork('64:ff9b:1::/48');
const SIX_TO_FOUR = parseNetwork('2002::/16');
const TEREDO = parseNetwork('2001::/32');
const ZERO_NETWORK = parseNetwork('0.0.0.0/8');
/** `::` and `::1`, which IPv4-compatible addresses are not (RFC 4291, section 2.5.5.1). */
const NOT_COMPATIBLE = parseNetwork('::/127');
/** IPv4-mapped, IPv4-compatible, IPv4-translated (RFC 2765, section 2.1). */
const LAST_32_BITS = ['::ffff:0:0/96', '::/96', '::ffff:0:0:0/96'].map(parseNetwork);

const LAST_4_BYTES = [12, 13, 14, 15];
/**
 * Which bytes carry the IPv4 address behind each prefix that fits into 64:ff9b:1::/48 (RFC 6052,
 * section 2.2): /48, /56, /64, /96. Byte 8 is reserved.
 */
const RFC_6052_BYTES = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], LAST_4_BYTES];
/** Bytes 8 to 11 of an ISATAP address (RFC 5214, section 6.1), with the universal bit or without. */
const ISATAP = [
  [0x00, 0x00, 0x5e, 0xfe],
  [0x02, 0x00, 0x5e, 0xfe],
];

/**
 * Classifies an address by the IANA special-purpose registries. IPv6 that carries IPv4 addresses (NAT64,
 * 6to4, Teredo, ISATAP, IPv4-compatible and its kin) is never better than any of those.
 * @param text a canonical address.
 */
export function classifyAddress(text: string): AddressClass {
  const address = ipaddr.parse(text);
  const own = classify(address);
  const carried = embeddedIPv4(address).map(classify);
  const worst = own.public ? (carried.find((inner) => !inner.public) ?? own) : own;
  return { ...worst, never: own.never || carried.some(({ never }) => never) };
}

/**
 * An address and every IPv4 address that it may carry: what must not be reached must not be reached in
 * any of these forms.
 * @param text a canonical address.
 */
export function addressForms(text: string): string[] {
  return [text, ...embeddedIPv4(ipaddr.parse(text)).map(String)];
}

/** The network of `address/prefix`. @throws Error from ipaddr.js if it is none. */
export function parseNetwork(text: string): Network {
  const [address, prefix] = ipaddr.parseCIDR(text);
  return { address, prefix };
}

const NEVER_MEANT = new Set(['metadata', 'link_local']);

/** Whether every address of a network is link-local or of a metadata service: no rule can open those. */
export function isNeverReached(network: Network): boolean {
  const first = networkAddress(network);
  const isWithin = BLOCKS.some(
    ({ network: block, result }) =>
      NEVER_MEANT.has(result.name) && block.prefix <= network.prefix && covers(block, first),
  );
  const isSingle = network.prefix === (network.address.kind() === 'ipv4' ? 32 : 128);
  const carried = isSingle ? embeddedIPv4(ipaddr.parse(first)).map(classify) : [];
  return isWithin || carried.some(({ name }) => NEVER_MEANT.has(name));
}

/** Whether the network covers a canonical address: what allows and who may have to match this way. */
export function covers(network: Network, text: string): boolean {
  return contains(network, ipaddr.parse(text));
}

/** Whether it covers the address or an IPv4 address that it carries: for what is to be kept out. */
export function touches(network: Network, text: string): boolean {
  return addressForms(text).some((form) => covers(network, form));
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

/** Every IPv4 address that an IPv6 address may carry; which of them counts, only a translator knows. */
function embeddedIPv4(address: Address): ipaddr.IPv4[] {
  if (address.kind() === 'ipv4') return [];
  const bytes = address.toByteArray();
  const at = (places: readonly number[]) =>
    new ipaddr.IPv4(places.map((place) => bytes[place] ?? 0));
  const carried: ipaddr.IPv4[] = [];
  if (contains(NAT64, address) || hasLast32Bits(address) || isIsatap(bytes)) {
    carried.push(at(LAST_4_BYTES));
  }
  if (contains(NAT64_LOCAL, address)) carried.push(...localTranslations(RFC_6052_BYTES.map(at)));
  if (contains(SIX_TO_FOUR, address)) carried.push(at([2, 3, 4, 5]));
  if (contains(TEREDO, address)) {
    // RFC 4380, section 4: the server's address, and inverted, the client's.
    carried.push(at([4, 5, 6, 7]), new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff)));
  }
  return carried;
}

/**
 * Without those in 0.0.0.0/8, unless there are no others: an address behind one prefix has zeros where
 * it would stand behind a shorter one.
 */
function localTranslations(candidates: ipaddr.IPv4[]): ipaddr.IPv4[] {
  const others = candidates.filter((candidate) => !contains(ZERO_NETWORK, candidate));
  return others.length > 0 ? others : candidates;
}

function hasLast32Bits(address: Address): boolean {
  return (
    LAST_32_BITS.some((network) => contains(network, address)) && !contains(NOT_COMPATIBLE, address)
  );
}

function isIsatap(bytes: readonly number[]): boolean {
  return ISATAP.some((pattern) => pattern.every((byte, index) => bytes[8 + index] === byte));
}
