import { type Host, parseHost } from './host.ts';

/** Where a request wants to go: a canonical host and a port. */
export interface Target extends Host {
  port: number;
}

/** A target that is not of the one grammar that every way in shares. */
export class TargetError extends Error {
  readonly code = 'BAD_TARGET';
  readonly reason: 'bad_target' | 'no_sni';
  /** The code of what is behind it, for the log. */
  readonly error: string | undefined;

  constructor(message: string, reason: TargetError['reason'] = 'bad_target', error?: string) {
    super(message);
    this.reason = reason;
    this.error = error;
  }
}

const HTTPS = 443;
const PORT = /^[1-9]\d{0,4}$/;
const AUTHORITY = /^(\[[^\]]*\]|[^:[\]]*):(\d*)$/;
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x7e]*$/;
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
  return { target: httpTarget(authority), path: rest.startsWith('?') ? `/${rest}` : rest };
}

/**
 * Reads a request as servers get it (RFC 9112, section 3.2.1): the path as the target, the host in
 * the Host field (RFC 9110, section 7.2). The absolute-form is taken too (RFC 9112, section 3.2.2),
 * and wins over Host.
 * @param hosts every Host field of the request.
 * @returns the target, and the origin-form to send upstream.
 * @throws TargetError
 */
export function parseOriginForm(
  text: string,
  hosts: readonly string[],
): { target: Target; path: string } {
  const [host] = hosts;
  if (host === undefined || hosts.length > 1) {
    throw new TargetError('the request must have one Host field');
  }
  if (!text.startsWith('/')) return parseHttpUri(text);
  if (!ORIGIN_FORM.test(text))
    throw new TargetError('the path has characters that it must not have');
  return { target: httpTarget(host), path: text };
}

/**
 * Reads the name of a TLS server (RFC 6066, section 3), whose port is 443. An address is no such name.
 * @param names every name that the ClientHello gives.
 * @throws TargetError
 */
export function parseServerName(names: readonly string[]): Target {
  const [name] = names;
  if (name === undefined) {
    throw new TargetError('the ClientHello names no server (SNI)', 'no_sni');
  }
  if (names.length > 1) throw new TargetError('the ClientHello names more than one server');
  const host = parseHost(name);
  if (host?.kind !== 'name') throw new TargetError('the server name (SNI) must be a host name');
  return { ...host, port: HTTPS };
}

/**
 * Whether a tunnel to a target begins as it must: with a ClientHello for that very name.
 * @param names every name that the ClientHello gives.
 * @returns why not, or null.
 */
export function judgeServerName(
  names: readonly string[],
  target: Target,
): 'no_sni' | 'sni_mismatch' | null {
  const [name] = names;
  if (name === undefined) return 'no_sni';
  return names.length === 1 && parseHost(name)?.host === target.host ? null : 'sni_mismatch';
}

/** Whether a tunnel to a target has to begin with a ClientHello that names it. */
export function needsServerName({ kind, port }: Target): boolean {
  return kind === 'name' && port === HTTPS;
}

/**
 * Reads a port: decimal, 1 to 65535, no leading zero.
 * @returns the number, or null.
 */
export function parsePort(text: string): number | null {
  const port = Number(text);
  return PORT.test(text) && port <= 65535 ? port : null;
}

function httpTarget(authority: string): Target {
  const explicit = AUTHORITY.exec(authority);
  return explicit ? toTarget(explicit[1] ?? '', explicit[2] ?? '') : toTarget(authority, '80');
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
