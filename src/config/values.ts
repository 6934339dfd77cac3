import { isIP, isIPv4, isIPv6 } from 'node:net';
import { type ClientRule, parseClient } from '../policy/clients.ts';
import { formatHostPort, parseHost } from '../policy/host.ts';
import { parsePort } from '../policy/target.ts';

/** A value that a variable cannot have; the message is a sentence with the remedy. */
export class ValueError extends Error {
  readonly code = 'BAD_VALUE';
}

/** Where whisper is. */
export type Upstream =
  | { kind: 'http'; host: string; port: number }
  | { kind: 'unix'; path: string }
  | { kind: 'embedded' };

/** Where a listener listens. */
export type ListenAddress =
  | { kind: 'tcp'; host: string; port: number }
  | { kind: 'unix'; path: string };

export type TcpAddress = Extract<ListenAddress, { kind: 'tcp' }>;

/** setTimeout cannot wait longer; see the HTML standard's timers, and Node's documentation. */
const MAX_MILLISECONDS = 2 ** 31 - 1;
const SIZES: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `http://host[:port]`, `unix:/path` or `embedded`. @throws ValueError */
export function parseUpstream(text: string): Upstream {
  if (text === 'embedded') return { kind: 'embedded' };
  if (text.startsWith('unix:')) return { kind: 'unix', path: parseUnixAddress(text) };
  const [, host, port = '80'] =
    /^http:\/\/(\[[^\]]*\]|[^:/?#@[\]]+)(?::(\d+))?\/?$/.exec(text) ?? [];
  const parsed = host === undefined ? null : parseHost(host);
  const number = parsePort(port);
  if (parsed === null || number === null) {
    throw new ValueError('it must be http://host:port, unix:/path or embedded');
  }
  return { kind: 'http', host: parsed.host, port: number };
}

/** `address:port`, with brackets around IPv6; port 0 takes any free one. @throws ValueError */
export function parseTcpAddress(text: string): TcpAddress {
  const [, bracketed, plain, port = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const number = port === '0' ? 0 : parsePort(port);
  if (number === null || isIP(host) === 0 || isIPv6(host) !== (bracketed !== undefined)) {
    throw new ValueError('it must be address:port, as in 127.0.0.1:7860 or [::1]:7860');
  }
  return { kind: 'tcp', host, port: number };
}

/** `address:port` or `unix:/path`. @throws ValueError */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:')) return { kind: 'unix', path: parseUnixAddress(text) };
  return parseTcpAddress(text);
}

/** A list of clients: addresses, networks and names. @throws ValueError */
export function parseClients(text: string): ClientRule[] {
  const items = splitList(text);
  const clients = items.map(parseClient);
  const bad = items.filter((_, index) => clients[index] === null);
  if (bad.length > 0) {
    const message = 'a client is an address, a network (10.0.0.0/24) or a name';
    throw new ValueError(`${message}, which these are not: ${bad.join(', ')}`);
  }
  return clients.filter((client) => client !== null);
}

/** `500ms`, `10s`, `5m`, `1h`. @returns milliseconds. @throws ValueError */
export function parseDuration(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})(ms|s|m|h)$/.exec(text) ?? [];
  const milliseconds = Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (!(milliseconds >= 1 && milliseconds <= MAX_MILLISECONDS)) {
    throw new ValueError('it must be a time from 1ms to 596h, as in 500ms, 10s, 5m or 1h');
  }
  return milliseconds;
}

/** A whole number from 1 to 65535. @throws ValueError */
export function parseCount(text: string): number {
  const count = parsePort(text);
  if (count === null) throw new ValueError('it must be a whole number from 1 to 65535');
  return count;
}

/** `512B`, `64KiB`, `1MiB`, `2GiB`. @returns bytes. @throws ValueError */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})(B|KiB|MiB|GiB)$/.exec(text) ?? [];
  const bytes = Number(digits) * (SIZES[unit] ?? Number.NaN);
  if (!(bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER)) {
    throw new ValueError(
      `it must be a size of at least one byte, as in 512B, 64KiB, 1MiB or 2GiB${meantSize(text)}`,
    );
  }
  return bytes;
}

/** What a size without a unit, or with another way to write it, may have been meant to be. */
function meantSize(text: string): string {
  const [, digits, letter] = /^([1-9]\d{0,11})\s*(?:([KMG])i?)?(?:B|bytes?)?$/i.exec(text) ?? [];
  if (digits === undefined) return '';
  const units = letter === undefined ? ['KiB', 'B'] : [`${letter.toUpperCase()}iB`];
  return `; did you mean ${units.map((unit) => `${digits}${unit}`).join(' or ')}?`;
}

/** A size as `parseSize` reads it, in the largest unit that it is a whole number of. */
export function formatSize(bytes: number): string {
  const [unit, size] = Object.entries(SIZES).findLast(([, each]) => bytes % each === 0) ?? ['B', 1];
  return `${bytes / size}${unit}`;
}

/**
 * Where the name server listens: an IPv4 address that is one of this machine's own, since it is what
 * allowed names resolve to. @throws ValueError
 */
export function parseNameServerAddress(text: string): TcpAddress {
  const address = parseTcpAddress(text);
  if (!isIPv4(address.host) || address.host === '0.0.0.0') {
    throw new ValueError(
      'it must be one IPv4 address and port, as in 10.89.77.2:53: names that are allowed resolve to it',
    );
  }
  return address;
}

/** @throws ValueError */
export function parseBoolean(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new ValueError('it must be true or false');
  return text === 'true';
}

/** A parser that takes one of the given words. It throws ValueError. */
export function oneOf<Word extends string>(...words: Word[]): (text: string) => Word {
  return (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw new ValueError(`it must be one of ${words.join(', ')}`);
    return word;
  };
}

/** A bearer token (RFC 6750, section 2.1). @throws ValueError, which does not tell the token. */
export function parseToken(text: string): string {
  if (!/^[A-Za-z0-9\-._~+/]+=*$/.test(text)) {
    throw new ValueError('it may have letters, digits and - . _ ~ + / only');
  }
  return text;
}

/** The parts of a list that commas or white space separate. */
export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((item) => item !== '');
}

/** The variable's text for a listener: what `parseListenAddress` reads. */
export function formatListenAddress(address: ListenAddress): string {
  return address.kind === 'unix'
    ? `unix:${address.path}`
    : formatHostPort(address.host, address.port);
}

/** The path of a unix socket. @throws ValueError */
export function parseSocketPath(path: string): string {
  // sockaddr_un has 108 bytes, the final NUL included (unix(7)); Linux would cut the rest off.
  if (!path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > 107) {
    throw new ValueError(
      'it must be an absolute path of at most 107 bytes, as in /tmp/control.sock',
    );
  }
  return path;
}

function parseUnixAddress(text: string): string {
  try {
    return parseSocketPath(text.slice('unix:'.length));
  } catch {
    throw new ValueError(
      'it must be an absolute path of at most 107 bytes, as in unix:/run/whisper/api.sock',
    );
  }
}
