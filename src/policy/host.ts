import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A host in canonical form: a name in lower case without its final dot, or an address. */
export interface Host {
  kind: 'name' | 'address';
  /** The name, or the address in its usual text form (RFC 5952 for IPv6), without brackets. */
  host: string;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/;

/**
 * Reads the host part of a target or rule: an IPv4 address in plain dotted decimal, an IPv6 address
 * in brackets and without a zone, or an ASCII host name (RFC 1123, and the underscore that real
 * names have). IPv4-mapped IPv6 becomes IPv4, so that one machine has one spelling.
 * @returns the canonical host, or null for anything else. A name whose last label is a number is
 * null too: getaddrinfo would read it as an address (WHATWG URL, "ends in a number").
 */
export function parseHost(text: string): Host | null {
  if (text.startsWith('[')) {
    return text.endsWith(']') ? parseIPv6(text.slice(1, -1)) : null;
  }
  if (IPV4.test(text)) return { kind: 'address', host: text };
  return parseName(text);
}

/**
 * The canonical form of an address as sockets and resolvers give it (no brackets; IPv4-mapped IPv6
 * becomes IPv4; a zone is dropped).
 * @throws RangeError if it is not an address.
 */
export function canonicalAddress(address: string): string {
  const unzoned = address.split('%', 1)[0] ?? '';
  const parsed = IPV4.test(unzoned) ? { host: unzoned } : parseIPv6(unzoned);
  if (parsed === null) throw new RangeError(`not an IP address: ${address}`);
  return parsed.host;
}

/** `host:port`, with brackets around an IPv6 address (RFC 3986, section 3.2.2). */
export function formatHostPort(host: string, port: number | string): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseIPv6(text: string): Host | null {
  if (text.includes('%') || !isIPv6(text)) return null;
  // By way of URL, since ipaddr.js takes ::192.0.2.7 for ::ffff:192.0.2.7.
  const host = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const address = ipaddr.IPv6.parse(host);
  return {
    kind: 'address',
    host: address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : host,
  };
}

function parseName(text: string): Host | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name.length > 253) return null;
  const labels = name.split('.');
  if (!labels.every((label) => LABEL.test(label))) return null;
  return NUMBER.test(labels.at(-1) ?? '') ? null : { kind: 'name', host: name };
}
