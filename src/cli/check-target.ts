import { isIPv6 } from 'node:net';
import { formatHostPort, parseHost } from '../policy/host.ts';
import { parseRule, type Rule, RuleError } from '../policy/rules.ts';
import { parsePort, type Target } from '../policy/target.ts';

const HTTPS = 443;
const URI = /^([a-z][a-z0-9+.-]*):\/\//i;
const PORTS: Record<string, number> = { http: 80, ws: 80 };

/** A host that cannot be asked about; the message is a sentence without its final stop. */
export class AskedHostError extends Error {
  readonly code = 'BAD_HOST';
}

/**
 * Reads a host as an operator writes it in a command: as a rule for one host would have it, so a name
 * may have letters beyond ASCII; an IPv6 address needs no brackets where it cannot end in a port.
 * Without a port it is 443. What requests may have as their target is another grammar, and stricter.
 * @throws AskedHostError that says how to write it.
 */
export function readAskedHost(text: string): Target {
  const [, scheme] = URI.exec(text) ?? [];
  if (scheme !== undefined) throw new AskedHostError(explainUri(text, scheme));
  if (isIPv6(text)) return readIPv6(text);
  const [, beforePath = ''] = /^([^/]+)\/(?!\d+(?::\d+)?$)/.exec(text) ?? [];
  if (beforePath !== '' && isReadable(beforePath)) {
    throw new AskedHostError(`write the host without a path; did you mean ${full(beforePath)}?`);
  }
  return targetOf(text, readRule(text));
}

function readRule(text: string): Rule {
  try {
    return parseRule(text, 'allow', null);
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    throw new AskedHostError(error.message);
  }
}

function targetOf(text: string, { match, port }: Rule): Target {
  if (match.kind === 'suffix') {
    throw new AskedHostError(`name one host, as in www.${match.suffix}`);
  }
  if (port === null) throw new AskedHostError('name one port, as in example.org:80');
  if (match.kind === 'name') return { kind: 'name', host: match.name, port };
  const host = parseHost(text.replace(/(?<=\]|^[^[:]*):\d+$/, ''));
  if (host === null) throw new AskedHostError('name one address, not a network');
  return { ...host, port };
}

function readIPv6(text: string): Target {
  const [, address = '', last = ''] = /^(.*):([^:]*)$/.exec(text) ?? [];
  const port = parsePort(last);
  if (port !== null && isIPv6(address)) {
    throw new AskedHostError(`did you mean [${address}]:${port} or [${text}]:${HTTPS}?`);
  }
  const host = parseHost(`[${text}]`);
  if (host === null) throw new AskedHostError('write an IPv6 address without a zone');
  return { ...host, port: HTTPS };
}

function explainUri(text: string, scheme: string): string {
  const plain = 'write the host without scheme and path';
  const [, authority = ''] = /^[^/]*\/\/([^/?#]*)/.exec(text) ?? [];
  const host = authority.replace(/:$/, '');
  if (!isReadable(host)) return `${plain}, as in huggingface.co or example.org:80`;
  const { host: name, port } = targetOf(host, readRule(host));
  const explicit = /:\d+$/.test(host);
  const meant = explicit ? port : (PORTS[scheme.toLowerCase()] ?? HTTPS);
  return `${plain}; did you mean ${formatHostPort(name, meant)}?`;
}

function isReadable(text: string): boolean {
  try {
    targetOf(text, readRule(text));
    return true;
  } catch (error) {
    if (error instanceof AskedHostError) return false;
    throw error;
  }
}

function full(text: string): string {
  const { host, port } = targetOf(text, readRule(text));
  return formatHostPort(host, port);
}
