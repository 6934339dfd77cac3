import { connect } from 'node:net';
import { exchangeDatagram } from './datagram.ts';

/** What a name server said. */
export type NameServerAnswer =
  | { kind: 'answer'; code: string; records: number }
  /** `why` is an error's code, or says that nothing came. */
  | { kind: 'silence'; why: string };

const LIMIT_MS = 2_500;
const DNS_PORT = 53;
const HEADER_BYTES = 12;
/** RFC 1035, section 4.1.1. */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/** Asks for the IPv4 addresses of a name, once. It never rejects. */
export function askNameServer(
  address: string,
  transport: 'udp' | 'tcp',
  name: string,
): Promise<NameServerAnswer> {
  return transport === 'udp' ? askByUdp(address, name) : askByTcp(address, name);
}

function askByUdp(address: string, name: string): Promise<NameServerAnswer> {
  return exchangeDatagram({
    limitMs: LIMIT_MS,
    silence: silence('nothing came'),
    // Not connected: an answer counts from whichever of its addresses the server sends it.
    send: (socket, fail) =>
      socket.send(question(name), DNS_PORT, address, (error) => {
        if (error) fail(error);
      }),
    failed: (error) => silence(error.code ?? error.message),
    answered: read,
  });
}

function askByTcp(address: string, name: string): Promise<NameServerAnswer> {
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
      if (received.length >= 2 + HEADER_BYTES) settle(read(received.subarray(2)));
    });
    const message = question(name);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.once('connect', () => socket.write(Buffer.concat([length, message])));
  });
}

/** A question for A records, with recursion desired (RFC 1035, section 4.1). */
function question(name: string): Buffer {
  const header = Buffer.from([0x77, 0x70, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

function read(message: Buffer): NameServerAnswer {
  if (message.length < HEADER_BYTES) return silence('what came is no DNS message');
  const code = message.readUInt8(3) & 0x0f;
  return { kind: 'answer', code: CODES[code] ?? String(code), records: message.readUInt16BE(6) };
}

function silence(why: string): NameServerAnswer {
  return { kind: 'silence', why };
}
