import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

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
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timer = setTimeout(() => setImmediate(settle, silence('nothing came')), LIMIT_MS);
    let isSettled = false;
    const settle = (answer: NameServerAnswer) => {
      // The time may be up at the very moment that something comes, and a socket closes once only.
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      socket.removeAllListeners().on('error', () => undefined);
      socket.close();
      resolve(answer);
    };
    socket.on('error', (error: NodeJS.ErrnoException) => settle(silence(error.code ?? '')));
    socket.on('message', (message) => settle(read(message)));
    // Not connected: an answer counts from whichever of its addresses the server sends it.
    socket.send(question(name), DNS_PORT, address, (error: NodeJS.ErrnoException | null) => {
      if (error) settle(silence(error.code ?? error.message));
    });
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
