import { connect } from 'node:net';
import { exchangeDatagram } from './datagram.ts';
import { DNS_PORT } from './targets.ts';

/** What a name server said. */
export type NameServerAnswer =
  | {
      kind: 'answer';
      code: string;
      records: number;
      /** Of the A records. */
      addresses: string[];
      /** It is the server's own answer (AA), and names no other server. One that asks others says so. */
      isOwn: boolean;
    }
  /** `why` is an error's code, or says that nothing came. */
  | { kind: 'silence'; why: string };

const LIMIT_MS = 2_500;
const HEADER_BYTES = 12;
// RFC 1035, sections 3.2.2 and 3.2.3; NULL takes any bytes. AAAA is from RFC 3596, HTTPS from RFC 9460.
const TYPES = { A: 1, NULL: 10, MX: 15, TXT: 16, AAAA: 28, HTTPS: 65, ANY: 255 };
const CLASS_IN = 1;
const AA = 0x0400;
/** RFC 1035, section 4.1.1. */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

export type RecordType = keyof typeof TYPES;

/** Asks for records of a name, its IPv4 addresses if nothing else is said, once. It never rejects. */
export function askNameServer(
  address: string,
  transport: 'udp' | 'tcp',
  name: string,
  type: RecordType = 'A',
): Promise<NameServerAnswer> {
  const message = question(name, type);
  return transport === 'udp' ? askByUdp(address, message) : askByTcp(address, message);
}

function askByUdp(address: string, message: Buffer): Promise<NameServerAnswer> {
  return exchangeDatagram({
    limitMs: LIMIT_MS,
    silence: silence('nothing came'),
    // Not connected: an answer counts from whichever of its addresses the server sends it.
    send: (socket, fail) =>
      socket.send(message, DNS_PORT, address, (error) => {
        if (error) fail(error);
      }),
    failed: (error) => silence(error.code ?? error.message),
    answered: read,
  });
}

function askByTcp(address: string, message: Buffer): Promise<NameServerAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: DNS_PORT });
    const timer = setTimeout(() => setImmediate(settle, silence('nothing came')), LIMIT_MS);
    const settle = (answer: NameServerAnswer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    let received = Buffer.alloc(0);
    socket.on('error', (error: NodeJS.ErrnoException) => settle(silence(error.code ?? '')));
    socket.on('close', () => settle(silence('it closed the connection')));
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length < 2) return;
      const end = 2 + received.readUInt16BE(0);
      if (received.length >= end) settle(read(received.subarray(2, end)));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.once('connect', () => socket.write(Buffer.concat([length, message])));
  });
}

/** A question with recursion desired (RFC 1035, section 4.1). */
function question(name: string, type: RecordType): Buffer {
  const header = Buffer.from([0x77, 0x70, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, TYPES[type], 0, CLASS_IN])]);
}

function read(message: Buffer): NameServerAnswer {
  if (message.length < HEADER_BYTES) return silence('what came is no DNS message');
  const flags = message.readUInt16BE(2);
  const code = flags & 0x0f;
  return {
    kind: 'answer',
    code: CODES[code] ?? String(code),
    records: message.readUInt16BE(6),
    addresses: readAddresses(message),
    isOwn: (flags & AA) !== 0 && message.readUInt16BE(8) === 0,
  };
}

/** The addresses of the A records in an answer (RFC 1035, section 4.1.3), as far as it can be read. */
function readAddresses(message: Buffer): string[] {
  const addresses: string[] = [];
  try {
    let at = skipName(message, HEADER_BYTES) + 4;
    for (let left = message.readUInt16BE(6); left > 0; left -= 1) {
      at = skipName(message, at);
      const data = at + 10;
      const end = data + message.readUInt16BE(at + 8);
      const isAddress = message.readUInt16BE(at) === TYPES.A && end - data === 4;
      if (isAddress && end <= message.length) {
        addresses.push(message.subarray(data, end).join('.'));
      }
      at = end;
    }
  } catch {
    // It ends too early; what came before counts.
  }
  return addresses;
}

/** @returns where what follows a name begins; a name ends with a null or a pointer. */
function skipName(message: Buffer, start: number): number {
  let at = start;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return at + 1;
}

function silence(why: string): NameServerAnswer {
  return { kind: 'silence', why };
}
