import { isIP } from 'node:net';

/** Something else that must not be reached: a container, an address of the host, a published port. */
export interface Also {
  address: string;
  /** null: a few that are often open. */
  port: number | null;
}

/** A host that the allowlist lets through. */
export interface Allowed {
  host: string;
  port: number;
}

/** What is tried, besides what the vantage itself says. */
export interface Targets {
  /** The proxy's address on whisper-net. */
  proxy: string;
  also: Also[];
  allowed: Allowed[];
}

/** The addresses on whisper-net, as the quadlets have them. Not from /etc/hosts: whisper can write that. */
export const PROXY = '10.89.77.2';
export const WHISPER = '10.89.77.3';
/** The proxy's ports, as the quadlets have them. */
export const EGRESS_PORT = 3128;
export const INGRESS_PORT = 7860;
export const ADMIN_PORT = 9090;
/** Where it takes programs that know of no proxy, and tells them so. */
export const TLS_PORT = 443;
export const HTTP_PORT = 80;
export const DNS_PORT = 53;
/** More than EGRESS_CONNECT_TIMEOUT, which is how long the proxy may take to give a host up. */
export const ALLOWED_LIMIT_MS = 12_000;

/** Two public name servers, since they exist, answer, and mean no harm. */
export const PUBLIC = ['1.1.1.1', '8.8.8.8'] as const;
/** The first of them, by IPv6. */
export const PUBLIC_IPV6 = '2606:4700:4700::1111';
/** Where clouds hand out credentials. */
export const METADATA = '169.254.169.254';
/** Exists nowhere (RFC 6761, section 6.4). */
export const NO_NAME = 'closed.invalid';

/** Ports that an `Also` without one is tried at: web, proxy, whisper, databases. */
const COMMON_PORTS = [53, 80, 443, 3128, 5432, 7860, 8080, 27017];

/** The ports of an `Also`. */
export function portsOf({ port }: Also): readonly number[] {
  return port === null ? COMMON_PORTS : [port];
}

/** Whether a host is a name, and not an address. */
export function isName(host: string): boolean {
  return isIP(host) === 0;
}

/** A name that exists, for look-ups that must not be answered; none of the allowed ones, nor above one. */
export function existingName(allowed: readonly Allowed[]): string {
  const names = ['example.com', 'example.org', 'example.net'];
  const isTaken = (name: string) =>
    allowed.some(({ host }) => host === name || host.endsWith(`.${name}`));
  return names.find((name) => !isTaken(name)) ?? 'iana.org';
}
