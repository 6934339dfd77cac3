import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Answer as DnsRecord,
  decode,
  encode,
  type Packet,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import { SystemResolver } from '../../src/net/system-resolver.ts';
import { cleanUp } from './proxy-cleanup.ts';

const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 };

/** What a name server says to a question; null: nothing. */
export type Reply = {
  rcode?: keyof typeof RCODES;
  answers?: DnsRecord[];
  /** What it waits for before; milliseconds, where it is a number. */
  after?: number | Promise<unknown>;
  /** By UDP it says only that the answer is too long. */
  truncated?: boolean;
  /** Bytes in place of a message. */
  raw?: Buffer;
} | null;

export type AnswerQuestion = (name: string, type: string, via: 'udp' | 'tcp') => Reply;

/** A name server of the test's own. */
export interface TestDns {
  address: string;
  /** What it was asked, as `A name`, in order. */
  asked: string[];
}

let count = 0;

/** An address of loopback that no other test has. Linux has all of 127/8. */
function ownAddress(): string {
  count += 1;
  return `127.${53 + (count >> 8)}.${process.pid & 255}.${count & 255}`;
}

/** Starts a name server on port 53, by UDP and TCP, until the test ends. */
export async function startDns(answer: AnswerQuestion): Promise<TestDns> {
  const address = ownAddress();
  const asked: string[] = [];
  const respond = async (message: Buffer, via: 'udp' | 'tcp'): Promise<Buffer | null> => {
    const query = decode(message);
    const [{ name, type } = { name: '', type: 'A' }] = query.questions ?? [];
    asked.push(`${type} ${name}`);
    const reply = answer(name, type, via);
    if (reply === null) return null;
    const { after } = reply;
    await (typeof after === 'number' ? sleep(after) : after);
    return reply.raw ?? encodeReply(query, reply, via);
  };
  const udp = createSocket('udp4');
  let isOpen = true;
  udp.on('message', async (message, { port, address: sender }) => {
    const bytes = await respond(message, 'udp');
    if (bytes && isOpen) udp.send(bytes, port, sender);
  });
  const tcp = createServer((client) => {
    client.on('error', () => undefined);
    client.on('data', async (bytes) => {
      const reply = await respond(bytes.subarray(2), 'tcp');
      if (!reply) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      client.write(Buffer.concat([length, reply]));
    });
  });
  udp.bind(53, address);
  tcp.listen(53, address);
  await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
  cleanUp(() => {
    isOpen = false;
    udp.close();
    tcp.close();
  });
  return { address, asked };
}

/** A resolver with files of its own, until the test ends. */
export function resolverWith(files: { hosts?: string; resolvConf?: string }): {
  resolver: SystemResolver;
  write(name: 'hosts' | 'resolvConf', text: string): void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'whisper-proxy-resolver-'));
  cleanUp(() => rmSync(folder, { recursive: true }));
  const paths = { hosts: join(folder, 'hosts'), resolvConf: join(folder, 'resolv.conf') };
  const write = (name: keyof typeof paths, text: string) => writeFileSync(paths[name], text);
  write('hosts', files.hosts ?? '');
  write('resolvConf', files.resolvConf ?? '');
  return { resolver: new SystemResolver(paths), write };
}

/** A resolver that asks these servers. */
export function resolverAsking(
  servers: readonly TestDns[],
  more = 'options timeout:1 attempts:2\n',
): SystemResolver {
  const lines = servers.map(({ address }) => `nameserver ${address}\n`);
  return resolverWith({ resolvConf: lines.join('') + more }).resolver;
}

/** A or AAAA records. */
export function records(name: string, type: string, ...addresses: string[]): DnsRecord[] {
  return addresses.map((data) => ({ type: type as 'A', name, ttl: 60, data }));
}

function encodeReply(query: Packet, reply: NonNullable<Reply>, via: 'udp' | 'tcp'): Buffer {
  const { rcode = 'NOERROR', answers = [], truncated = false } = reply;
  const isCut = truncated && via === 'udp';
  return encode({
    type: 'response',
    id: query.id ?? 0,
    flags: 0x180 | RCODES[rcode] | (isCut ? TRUNCATED_RESPONSE : 0),
    questions: query.questions ?? [],
    answers: isCut ? [] : answers,
  });
}
