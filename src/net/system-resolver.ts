import { Resolver } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import { classifyAddress } from '../policy/addresses.ts';
import { canonicalAddress } from '../policy/host.ts';
import { interfaceAddresses } from './own-addresses.ts';
import { type Resolve, ResolveError } from './resolve.ts';
import {
  candidates,
  parseHosts,
  parseResolvConf,
  type ResolvConf,
  WatchedFile,
} from './resolver-files.ts';

/** RFC 8305, section 3: the Resolution Delay, how long the other family is waited for. */
const RESOLUTION_DELAY_MS = 50;

type Family = 4 | 6;

/** What came of asking for one family, or for both. */
type Answer = { addresses: string[] } | { failure: Failure };

/**
 * The name does not exist (NXDOMAIN, which is about all types: RFC 8020); it has no such address; a
 * server failed; no server said anything, so that asking for another name is of no use.
 */
type Failure = 'no_name' | 'no_data' | 'failed' | 'silent';

/**
 * Looks names up as glibc does with `hosts: files dns` in nsswitch.conf(5): /etc/hosts first, and DNS
 * for what is not there, by /etc/resolv.conf. Unlike getaddrinfo(3) it needs no thread, so that names
 * that are never answered keep nobody else waiting, and it asks for A and AAAA apart:
 *
 *     name ─▶ hosts? ─▶ each name of the search list ─┬─ A    ─▶ each server, again ─┬─▶ addresses
 *                                                     └─ AAAA ─▶ each server, again ─┘
 *
 * Once one family has addresses, the other has 50 ms more (RFC 8305, section 3). A family that is
 * silent, fails, or is said not to exist costs the name nothing if the other one has addresses.
 *
 * The decision is about the addresses that are returned, and no other is ever dialled. An address
 * that is not public would deny the whole name, but only if it is among them: one that comes later
 * than these 50 ms neither denies the name nor is connected to.
 */
export class SystemResolver {
  readonly #hosts: WatchedFile<ReturnType<typeof parseHosts>>;
  readonly #conf: WatchedFile<ResolvConf>;
  #turn = 0;

  /** @param files hosts(5) and resolv.conf(5). */
  constructor(files = { hosts: '/etc/hosts', resolvConf: '/etc/resolv.conf' }) {
    this.#hosts = new WatchedFile(files.hosts, parseHosts);
    this.#conf = new WatchedFile(files.resolvConf, (text) => parseResolvConf(text, hostname()));
  }

  readonly resolve: Resolve = async (name, signal = new AbortController().signal) => {
    signal.throwIfAborted();
    if (isIP(name) !== 0) return [canonicalAddress(name)];
    const known = this.#hosts.content.get(name.toLowerCase()) ?? localhost(name);
    return inOrder(known ?? (await this.#askDns(name, signal)));
  };

  async #askDns(name: string, signal: AbortSignal): Promise<string[]> {
    const conf = this.#conf.content;
    const first = conf.rotate ? this.#turn++ % conf.servers.length : 0;
    const servers = [...conf.servers.slice(first), ...conf.servers.slice(0, first)];
    let code: ResolveError['code'] = 'ENOTFOUND';
    const names = candidates(name, conf);
    for (const candidate of names) {
      const isLast = candidate === names.at(-1);
      const answer = await askFamilies(candidate, { ...conf, servers }, isLast, signal);
      signal.throwIfAborted();
      if ('addresses' in answer) return answer.addresses;
      if (!isCertain(answer.failure)) code = 'EAI_AGAIN';
      if (answer.failure === 'silent') break;
    }
    throw new ResolveError(code, name);
  }
}

/** @param isLast no other name is left to ask for if this one does not exist. */
function askFamilies(
  name: string,
  conf: ResolvConf,
  isLast: boolean,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const answers: Answer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', settle);
      over.abort();
      resolve(merge(answers));
    };
    signal.addEventListener('abort', settle);
    const families: Family[] = [4, 6];
    for (const family of families) {
      askServers(name, family, conf, over.signal).then((answer) => {
        answers.push(answer);
        const isEnough = 'addresses' in answer || (answer.failure === 'no_name' && !isLast);
        if (answers.length === families.length) settle();
        else if (isEnough) timer = setTimeout(settle, RESOLUTION_DELAY_MS);
      });
    }
  });
}

/** What there is of both; else, what is least certain. */
function merge(answers: readonly Answer[]): Answer {
  const addresses = answers.flatMap((answer) => ('addresses' in answer ? answer.addresses : []));
  if (addresses.length > 0) return { addresses: [...new Set(addresses)] };
  // One that has not answered yet may still fail.
  if (answers.length < 2) return { failure: 'failed' };
  const failures = answers.flatMap((answer) => ('failure' in answer ? [answer.failure] : []));
  return { failure: failures.find((failure) => !isCertain(failure)) ?? failures[0] ?? 'failed' };
}

function isCertain(failure: Failure): boolean {
  return failure === 'no_name' || failure === 'no_data';
}

/**
 * Asks one server after the other, all of them as often as it may, until one knows. After one that gave
 * no answer, another one's word that the name does not exist is not certain: with CNI the first server
 * knows the containers, and the second, the host's, does not.
 */
async function askServers(
  name: string,
  family: Family,
  { servers, attempts, timeoutMs }: ResolvConf,
  over: AbortSignal,
): Promise<Answer> {
  let failure: Failure = 'silent';
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    for (const server of servers) {
      if (over.aborted) return { failure };
      const answer = await askServer(name, family, server, timeoutMs, over);
      if ('addresses' in answer) return answer;
      if (isCertain(answer.failure)) return server === servers[0] ? answer : { failure: 'failed' };
      if (answer.failure === 'failed') failure = 'failed';
    }
  }
  return { failure };
}

/**
 * Asks one server once, by TCP where the answer does not fit into a datagram. A resolver of its own
 * can be cancelled by itself, has a source port of its own, and has not learned from other questions
 * how long to wait for this one.
 */
async function askServer(
  name: string,
  family: Family,
  server: string,
  timeoutMs: number,
  over: AbortSignal,
): Promise<Answer> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  const cancel = () => resolver.cancel();
  over.addEventListener('abort', cancel);
  try {
    resolver.setServers([isIPv6(server) ? `[${server}]` : server]);
    const addresses = await (family === 4 ? resolver.resolve4(name) : resolver.resolve6(name));
    // A chain of aliases may end in nothing.
    return addresses.length > 0
      ? { addresses: addresses.map(canonicalAddress) }
      : { failure: 'no_data' };
  } catch (error) {
    return { failure: failureOf((error as NodeJS.ErrnoException).code ?? '') };
  } finally {
    over.removeEventListener('abort', cancel);
  }
}

/** What a code of c-ares says about the name. */
function failureOf(code: string): Failure {
  switch (code) {
    case 'ENOTFOUND':
    // A search list can make it too long.
    case 'EBADNAME':
      return 'no_name';
    case 'ENODATA':
      return 'no_data';
    case 'ETIMEOUT':
    case 'ECONNREFUSED':
      return 'silent';
    default:
      return 'failed';
  }
}

/** RFC 6761, section 6.3: localhost and what is below it is this machine, and no server is asked. */
function localhost(name: string): string[] | undefined {
  return /(?:^|\.)localhost$/i.test(name) ? ['127.0.0.1', '::1'] : undefined;
}

/**
 * IPv6 first where this machine has a public IPv6 address, else last: what RFC 6724 comes to, rules 1
 * and 5. The order within a family stays.
 */
function inOrder(addresses: readonly string[]): string[] {
  const six = addresses.filter(isIPv6);
  const four = addresses.filter((address) => !isIPv6(address));
  if (six.length === 0 || four.length === 0) return [...addresses];
  const hasPublic = interfaceAddresses().some(
    (address) => isIPv6(address) && classifyAddress(address).public,
  );
  return hasPublic ? [...six, ...four] : [...four, ...six];
}
