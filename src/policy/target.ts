import { type Host, parseHost } from './host.ts';

/** Where a request wants to go: a canonical host and a port. */
export interface Target extends Host {
  port: number;
}

/** A target that is not of the one grammar that every way in shares. */
export class TargetError extends Error {
  readonly code = 'BAD_TARGET';
}

const PORT = /^[1-9]\d{0,4}$/;
const AUTHORITY = /^(\[[^\]]*\]|[^:[\]]*):(\d*)$/;
const HTTP_URI = /^http:\/\/([^/?#]*)([/?][\x21\x22\x24-\x7e]*)?$/i;

/**
 * Reads the authority-form of a CONNECT request: `host:port`, both required (RFC 9110, section
 * 9.3.6; RFC 9112, section 3.2.3). Nothing is guessed or normalised but case and a final dot.
 * @throws TargetError with a sentence that says what a target looks like.
 */
export function parseAuthority(text: string): Target {
  const [, host, port] = AUTHORITY.exec(text) ?? [];
  if (host === undefined || port === undefined) {
    throw new TargetError('the target must be host:port, as in example.org:443');
  }
  return toTarget(host, port);
}

/**
 * Reads the absolute-form of a plain HTTP request (RFC 9112, section 3.2.2): `http://host[:port]/…`.
 * User information and a fragment are refused; `https:` belongs in a CONNECT tunnel.
 * @returns the target, and the origin-form to send upstream.
 * @throws TargetError
 */
export function parseHttpUri(text: string): { target: Target; path: string } {
  const [, authority, rest = '/'] = HTTP_URI.exec(text) ?? [];
  if (authority === undefined) {
    throw new TargetError('the target must be an http:// URI, or host:port with CONNECT');
  }
  const explicit = AUTHORITY.exec(authority);
  return {
    target: explicit ? toTarget(explicit[1] ?? '', explicit[2] ?? '') : toTarget(authority, '80'),
    path: rest.startsWith('?') ? `/${rest}` : rest,
  };
}

/**
 * Reads a port: decimal, 1 to 65535, no leading zero.
 * @returns the number, or null.
 */
export function parsePort(text: string): number | null {
  const port = Number(text);
  return PORT.test(text) && port <= 65535 ? port : null;
}

function toTarget(hostText: string, portText: string): Target {
  const host = parseHost(hostText);
  if (host === null) {
    throw new TargetError(
      'the host must be a name, an IPv4 address, or an IPv6 address in brackets',
    );
  }
  const port = parsePort(portText);
  if (port === null) {
    throw new TargetError('the port must be a number from 1 to 65535, without leading zeros');
  }
  return { ...host, port };
}
