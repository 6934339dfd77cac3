import { readFileSync, type Stats, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { canonicalAddress } from '../policy/host.ts';

/** A file that changed this short a time ago may be changing still, with the same time stamp. */
const SETTLED_MS = 1_000;

/** What a file says, read again when it has changed. A file that cannot be read is an empty one. */
export class WatchedFile<Content> {
  readonly #path: string;
  readonly #parse: (text: string) => Content;
  #read: { stats: Stats | undefined; content: Content } | undefined;

  constructor(path: string, parse: (text: string) => Content) {
    this.#path = path;
    this.#parse = parse;
  }

  /** Costs one stat(2) while it stays the same; podman writes such a file in place. */
  get content(): Content {
    const stats = this.#stat();
    if (this.#read && isSame(stats, this.#read.stats)) return this.#read.content;
    const content = this.#parse(stats ? this.#text() : '');
    const isSettled = stats === undefined || Date.now() - stats.mtimeMs > SETTLED_MS;
    this.#read = isSettled ? { stats, content } : undefined;
    return content;
  }

  #stat(): Stats | undefined {
    try {
      return statSync(this.#path, { throwIfNoEntry: false });
    } catch {
      return undefined;
    }
  }

  #text(): string {
    try {
      return readFileSync(this.#path, 'utf8');
    } catch {
      return '';
    }
  }
}

function isSame(one: Stats | undefined, other: Stats | undefined): boolean {
  return (
    one?.ino === other?.ino &&
    one?.dev === other?.dev &&
    one?.size === other?.size &&
    one?.mtimeMs === other?.mtimeMs
  );
}

/**
 * Reads /etc/hosts, hosts(5). Names are compared without regard to case.
 * @returns the canonical addresses of each name in lower case, in the order of their lines. A line
 * that does not begin with an address is passed over, and as by glibc one whose address has a zone.
 */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = words(line.split('#', 1)[0] ?? '');
    if (isIP(address) === 0 || address.includes('%')) continue;
    const canonical = canonicalAddress(address);
    for (const name of names.map((each) => each.toLowerCase())) {
      const addresses = hosts.get(name) ?? [];
      if (!addresses.includes(canonical)) addresses.push(canonical);
      hosts.set(name, addresses);
    }
  }
  return hosts;
}

/** Whom to ask, and for what. */
export interface ResolvConf {
  /** Addresses of name servers, in the order to ask them in. */
  servers: readonly string[];
  /** Domains that a short name may be in; empty for the root. */
  search: readonly string[];
  /** A name with fewer dots is looked for in those domains first. */
  ndots: number;
  /** How long one server has to answer once. */
  timeoutMs: number;
  /** How often each server is asked. */
  attempts: number;
  /** Whether the servers take turns at being asked first. */
  rotate: boolean;
}

/** What glibc reads of it. */
const MAX_SERVERS = 3;
const MAX_NDOTS = 15;
const MAX_TIMEOUT_S = 30;
const MAX_ATTEMPTS = 5;

/**
 * Reads /etc/resolv.conf, resolv.conf(5), with the defaults and bounds of glibc. What it does not know
 * is passed over.
 * @param hostname this machine's: its domain is searched where the file names none.
 */
export function parseResolvConf(text: string, hostname: string): ResolvConf {
  const servers: string[] = [];
  let search = hostname.includes('.') ? [hostname.slice(hostname.indexOf('.') + 1)] : [];
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    // Comments begin a line; leading blanks make it none that counts.
    const [keyword, ...rest] = /^[#;\s]/.test(line) ? [] : words(line);
    const [first = ''] = rest;
    if (keyword === 'nameserver' && isIP(first) !== 0) servers.push(first);
    else if (keyword === 'domain' && rest.length > 0) search = [first];
    else if (keyword === 'search' && rest.length > 0) search = rest;
    else if (keyword === 'options') {
      for (const [name = '', value = ''] of rest.map((word) => word.split(':')))
        options.set(name, value);
    }
  }
  const number = (name: string, least: number, most: number, standard: number) => {
    const value = options.get(name);
    return /^\d+$/.test(value ?? '') ? Math.min(Math.max(Number(value), least), most) : standard;
  };
  return {
    servers: servers.length > 0 ? servers.slice(0, MAX_SERVERS) : ['127.0.0.1'],
    search: search.map((domain) => domain.replace(/\.$/, '')),
    ndots: number('ndots', 0, MAX_NDOTS, 1),
    timeoutMs: number('timeout', 1, MAX_TIMEOUT_S, 5) * 1_000,
    attempts: number('attempts', 1, MAX_ATTEMPTS, 2),
    rotate: options.has('rotate'),
  };
}

/** The names to ask for, in order, where a name may be a short one. */
export function candidates(name: string, { search, ndots }: ResolvConf): string[] {
  const within = search.map((domain) => (domain === '' ? name : `${name}.${domain}`));
  const isShort = name.split('.').length - 1 < ndots;
  return [...new Set(isShort ? [...within, name] : [name, ...within])];
}

function words(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== '');
}
