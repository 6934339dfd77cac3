import { type Answer, type DecodedPacket, decode, type Question } from 'dns-packet';
import { expect } from 'vitest';

export const ID = 0x7770;
export const RD = 0x0100;

/** A message by the word: dns-packet would write none of the wrong ones. */
export function message(
  { id = ID, flags = RD, counts = [1, 0, 0, 0] }: Header,
  ...parts: Uint8Array[]
): Buffer {
  const header = Buffer.alloc(12);
  [id, flags, ...counts].forEach((word, index) => {
    header.writeUInt16BE(word, 2 * index);
  });
  return Buffer.concat([header, ...parts]);
}

export interface Header {
  id?: number;
  flags?: number;
  /** Of questions, answers, authorities and additionals. */
  counts?: [number, number, number, number];
}

/** A name from its labels, one byte for each character. */
export function labels(...texts: string[]): Buffer {
  return Buffer.concat([
    ...texts.map((text) => Buffer.from(String.fromCharCode(text.length) + text, 'latin1')),
    Buffer.of(0),
  ]);
}

export function question(name: Uint8Array, type = 1, cls = 1): Buffer {
  return Buffer.concat([name, words(type, cls)]);
}

/** An OPT record (RFC 6891, section 6.1.2). */
export function opt(parts: Opt = {}): Buffer {
  const { version = 0, flags = 0, options = Buffer.alloc(0), owner = labels() } = parts;
  return Buffer.concat([
    owner,
    words(41, 4096, version, flags, parts.length ?? options.length),
    options,
  ]);
}

interface Opt {
  version?: number;
  flags?: number;
  options?: Buffer;
  /** What it says of the length of its options, where that is a lie. */
  length?: number;
  owner?: Buffer;
}

/** Any other record. */
export function record(
  owner: Buffer,
  type: number,
  data: Uint8Array,
  length = data.length,
): Buffer {
  return Buffer.concat([owner, words(type, 1, 0, 60, length), data]);
}

/** An EDNS option. */
export function option(code: number, data: Uint8Array, length = data.length): Buffer {
  return Buffer.concat([words(code, length), data]);
}

export function words(...values: number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

/** A plain query for a dotted name. */
export function queryFor(name: string, type = 1, id = ID): Buffer {
  return message({ id }, question(labels(...name.split('.')), type));
}

/** What dns-packet reads, some of which its types leave out. */
export interface Decoded extends DecodedPacket {
  id: number;
  rcode: string;
  opcode: string;
  questions: Question[];
  answers: Answer[];
  authorities: Answer[];
  additionals: Answer[];
}

/** Reads an answer by dns-packet, which must come out at its end. */
export function decodeAnswer(bytes: Buffer): Decoded {
  const packet = decode(bytes) as Decoded;
  expect(decode.bytes).toBe(bytes.length);
  return packet;
}
