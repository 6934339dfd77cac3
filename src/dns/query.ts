import { Malformed, type Name, Reader } from './reader.ts';
import { typeName } from './types.ts';

export const HEADER_BYTES = 12;
/** Far more than a question and its EDNS options need, and far less than a datagram can carry. */
export const MAX_QUERY_BYTES = 4_096;

// The header's second word (RFC 1035, section 4.1.1; CD is from RFC 4035, section 3.2.2).
const QR = 0x8000;
const OPCODE = 0x7800;
const RD = 0x0100;
const CD = 0x0010;

const CLASS_IN = 1;
const TYPE_OPT = 41;
const DO = 0x8000;

/** How an answer turned out (RFC 1035, section 4.1.1; BADVERS is from RFC 6891). */
export type Rcode =
  | 'NOERROR'
  | 'FORMERR'
  | 'SERVFAIL'
  | 'NXDOMAIN'
  | 'NOTIMP'
  | 'REFUSED'
  | 'BADVERS';

/** What an answer repeats of its query. */
export interface Envelope {
  id: number;
  /** The opcode, RD and CD, in their places in the header. */
  flags: number;
  /** The question's bytes as they came, letter case included, or null if it cannot be read. */
  question: Buffer | null;
  /** The OPT record (RFC 6891, section 6.1), or null if the query has none. */
  edns: { dnssecOk: boolean } | null;
}

/** A query that asks for a name. */
export interface Query extends Envelope {
  question: Buffer;
  name: Name;
  /** By name: A, AAAA, TXT, HTTPS, or TYPE<n> (RFC 3597, section 5). */
  type: string;
}

/** A query that gets an error, whatever it asks for. */
export interface Fault extends Envelope {
  rcode: Rcode;
  /** What it asks for, where that could be read. */
  name?: Name;
  type?: string;
}

/**
 * Reads a message as a query with one question (RFC 1035, section 4.1; RFC 9619) and at most one OPT
 * record of EDNS version 0. Other additional records are passed over.
 * @returns the query, the error to answer with, or null where no answer may be given: for what has no
 * header, and for answers, since two servers could answer each other for ever.
 */
export function readQuery(message: Buffer): Query | Fault | null {
  if (message.length < HEADER_BYTES) return null;
  const sent = message.readUInt16BE(2);
  if ((sent & QR) !== 0) return null;
  const envelope: Envelope = {
    id: message.readUInt16BE(0),
    flags: sent & (OPCODE | RD | CD),
    question: null,
    edns: null,
  };
  if ((sent & OPCODE) !== 0) return { ...envelope, rcode: 'NOTIMP' };
  try {
    return readBody(message, envelope);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { ...envelope, rcode: 'FORMERR' };
  }
}

function readBody(message: Buffer, envelope: Envelope): Query | Fault {
  if (message.length > MAX_QUERY_BYTES) throw new Malformed();
  const reader = new Reader(message, 4);
  const [questions, answers, authorities] = [reader.uint16(), reader.uint16(), reader.uint16()];
  if (questions !== 1 || answers !== 0 || authorities !== 0) throw new Malformed();
  const additionals = reader.uint16();

  const name = reader.name();
  const type = typeName(reader.uint16());
  const isInternet = reader.uint16() === CLASS_IN;
  const question = message.subarray(HEADER_BYTES, reader.offset);

  const opt = readOpt(reader, additionals);
  if (!reader.atEnd) throw new Malformed();

  const query = { ...envelope, question, edns: opt && { dnssecOk: opt.dnssecOk }, name, type };
  if (opt && opt.version !== 0) return { ...query, rcode: 'BADVERS' };
  return isInternet ? query : { ...query, rcode: 'REFUSED' };
}

interface Opt {
  version: number;
  dnssecOk: boolean;
}

/** Reads the additional records. @returns the OPT among them, or null. @throws Malformed */
function readOpt(reader: Reader, count: number): Opt | null {
  let opt: Opt | null = null;
  for (let index = 0; index < count; index += 1) {
    const owner = reader.name();
    const type = reader.uint16();
    reader.uint16();
    const [, version = 0] = reader.take(2);
    const flags = reader.uint16();
    const data = reader.take(reader.uint16());
    if (type !== TYPE_OPT) continue;
    if (opt !== null || owner.labels.length > 0) throw new Malformed();
    passOptions(new Reader(data, 0));
    opt = { version, dnssecOk: (flags & DO) !== 0 };
  }
  return opt;
}

/** None of them means anything here, but their lengths have to add up. @throws Malformed */
function passOptions(options: Reader): void {
  while (!options.atEnd) {
    options.uint16();
    options.take(options.uint16());
  }
}
