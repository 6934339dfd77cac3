import { DISCARD, udpAttempts } from './packets.ts';
import type { Attempt, Probe } from './probe.ts';
import {
  ADMIN_PORT,
  EGRESS_PORT,
  INGRESS_PORT,
  METADATA,
  PUBLIC,
  PUBLIC_IPV6,
  portsOf,
  type Targets,
} from './targets.ts';
import type { TcpProber } from './tcp-prober.ts';
import type { Vantage } from './vantage.ts';

// The ports that the gate lets through to the proxy are tried elsewhere too: a rule that forgot the
// address would show there.
const GATEWAY_TCP = [22, 80, 443, EGRESS_PORT, INGRESS_PORT, 8080, ADMIN_PORT];
const GATEWAY_UDP = [67, 123, 443];
const PUBLIC_TCP = [80, 443, EGRESS_PORT];
const PUBLIC_UDP = [123, 443];
const PROXY_OTHER_TCP = [22, 8080];
const PROXY_OTHER_UDP = [80, 443, EGRESS_PORT, INGRESS_PORT];

type TcpAttempts = (host: string, ports: readonly number[]) => Attempt[];

/**
 * The ways out by TCP and UDP: all of them must be closed to whisper.
 * Datagrams are empty, and nothing is sent on a connection.
 */
export function networkProbes(vantage: Vantage, targets: Targets, prober: TcpProber): Probe[] {
  const { gateway, neighbour } = vantage;
  const tcp: TcpAttempts = (host, ports) => prober.attempts(host, ports);
  return [
    ...addressProbes(tcp, `the gateway ${gateway}`, gateway, GATEWAY_TCP, GATEWAY_UDP),
    ...PUBLIC.flatMap((address) => addressProbes(tcp, address, address, PUBLIC_TCP, PUBLIC_UDP)),
    ...addressProbes(tcp, `the metadata address ${METADATA}`, METADATA, [80], [80]),
    ...addressProbes(tcp, `a neighbour ${neighbour}`, neighbour, [80, 443, EGRESS_PORT], [DISCARD]),
    ...targets.also.flatMap((also) => {
      const name = also.port === null ? also.address : `${also.address} port ${also.port}`;
      return addressProbes(tcp, name, also.address, portsOf(also), portsOf(also));
    }),
    ...dnsProbes(tcp, vantage, targets),
    ...manyProbes(vantage),
    ...ipv6Probes(tcp, vantage),
    ...proxyProbes(tcp, targets.proxy),
  ];
}

function addressProbes(
  attempts: TcpAttempts,
  name: string,
  address: string,
  tcp: readonly number[],
  udp: readonly number[],
): Probe[] {
  return [
    closed('addresses', `TCP to ${name}`, attempts(address, tcp)),
    closed('addresses', `UDP to ${name}`, udpAttempts(address, udp)),
  ];
}

function dnsProbes(
  tcp: TcpAttempts,
  { gateway, nameServers }: Vantage,
  { proxy }: Targets,
): Probe[] {
  const elsewhere = nameServers.filter((address) => address !== proxy && !isLoopback(address));
  return [...new Set([gateway, ...PUBLIC, ...elsewhere])].flatMap((address) => [
    closed('name servers', `DNS to ${address}`, udpAttempts(address, [53])),
    closed('name servers', `DNS over TCP to ${address}`, tcp(address, [53, 853])),
  ]);
}

/** Multicast, broadcast: one packet, many that get it. */
function manyProbes({ broadcast }: Vantage): Probe[] {
  const multicast = [
    ['224.0.0.1', DISCARD],
    ['224.0.0.251', 5353],
    ['239.255.255.250', 1900],
  ] as const;
  return [
    closed('link', 'multicast', manyAttempts(multicast, false)),
    closed(
      'link',
      'broadcast',
      manyAttempts(
        [
          ['255.255.255.255', DISCARD],
          [broadcast, DISCARD],
        ],
        true,
      ),
    ),
    closed('link', 'link-local, 169.254.0.1', udpAttempts('169.254.0.1', [DISCARD])),
  ];
}

function manyAttempts(
  targets: readonly (readonly [address: string, port: number])[],
  broadcast: boolean,
): Attempt[] {
  return targets.flatMap(([address, port]) =>
    udpAttempts(address, [port], broadcast).map((attempt) => ({ ...attempt, what: address })),
  );
}

function ipv6Probes(tcp: TcpAttempts, { device }: Vantage): Probe[] {
  return [
    closed('IPv6', `UDP to ${PUBLIC_IPV6}`, udpAttempts(PUBLIC_IPV6, [53, 443])),
    closed('IPv6', `TCP to ${PUBLIC_IPV6}`, tcp(PUBLIC_IPV6, [443])),
    closed('IPv6', 'IPv6 link-local, fe80::1', udpAttempts(`fe80::1%${device}`, [DISCARD])),
    closed('IPv6', 'IPv6 multicast, ff02::1', udpAttempts(`ff02::1%${device}`, [DISCARD])),
    closed(
      'IPv6',
      `IPv4 within IPv6, ::ffff:${PUBLIC[0]}`,
      udpAttempts(`::ffff:${PUBLIC[0]}`, [53, 443]),
    ),
  ];
}

/** The proxy's other doors: whisper has no business there. */
function proxyProbes(tcp: TcpAttempts, proxy: string): Probe[] {
  return [
    closed('the proxy', "the proxy's ingress", tcp(proxy, [INGRESS_PORT])),
    closed('the proxy', "the proxy's admin port", tcp(proxy, [ADMIN_PORT])),
    closed('the proxy', "the proxy's other ports, TCP", tcp(proxy, PROXY_OTHER_TCP)),
    closed('the proxy', "the proxy's other ports, UDP", udpAttempts(proxy, PROXY_OTHER_UDP)),
  ];
}

function closed(group: string, name: string, attempts: Attempt[]): Probe {
  return { group, name, want: 'closed', attempts };
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.');
}
