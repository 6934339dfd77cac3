import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type HelloResult, parseClientHello } from '../../src/tls/client-hello.ts';

/** A ClientHello of a real program, as `record.mjs` beside the fixtures made it. */
export interface Fixture {
  name: string;
  serverNames: string[];
  ech: boolean;
  bytes: Buffer;
}

/** The parts of a ClientHello; what is not given is short and valid. */
export interface HelloParts {
  version?: number;
  sessionId?: Buffer;
  cipherSuites?: Buffer;
  compression?: Buffer;
  /** null: not even their length. */
  extensions?: Buffer[] | null;
}

export const SERVER_NAME = 0;
export const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
export const RECORD_HEAD = 5;

const FOLDER = new URL('../fixtures/client-hellos/', import.meta.url);

export function readFixtures(): Fixture[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const { hex, ...fixture } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
      return { ...fixture, bytes: Buffer.from(hex, 'hex') };
    });
}

/** A number, most significant byte first. */
export function number(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/** Bytes with their length in front. @param size of the length. */
export function vector(size: number, ...parts: Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([number(bytes.length, size), bytes]);
}

export function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([number(type, 2), vector(2, content)]);
}

export function hostName(name: string): Buffer {
  return Buffer.concat([number(0, 1), vector(2, Buffer.from(name, 'latin1'))]);
}

/** server_name with any number of names. */
export function serverName(...names: string[]): Buffer {
  return extension(SERVER_NAME, vector(2, ...names.map(hostName)));
}

/** The handshake message. */
export function helloMessage(parts: HelloParts = {}): Buffer {
  const { version = 0x0303, sessionId = Buffer.alloc(0), extensions = [] } = parts;
  const { cipherSuites = number(0x1301, 2), compression = number(0, 1) } = parts;
  const body = [
    number(version, 2),
    Buffer.alloc(32, 0xaa),
    vector(1, sessionId),
    vector(2, cipherSuites),
    vector(1, compression),
    ...(extensions === null ? [] : [vector(2, ...extensions)]),
  ];
  return Buffer.concat([number(1, 1), vector(3, ...body)]);
}

export function record(fragment: Buffer, type = 22): Buffer {
  return Buffer.concat([number(type, 1), number(0x0301, 2), vector(2, fragment)]);
}

/** A message in records of that many bytes each; the last size is used again and again. */
export function records(message: Buffer, ...sizes: number[]): Buffer {
  const fragments: Buffer[] = [];
  for (let at = 0, index = 0; at < message.length; index += 1) {
    const size = sizes[index] ?? sizes.at(-1) ?? message.length;
    fragments.push(record(message.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(fragments);
}

/** A ClientHello in one record. */
export function hello(parts: HelloParts = {}): Buffer {
  return record(helloMessage(parts));
}

/** The message that records carry. */
export function messageOf(bytes: Buffer): Buffer {
  const fragments: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + RECORD_HEAD + bytes.readUInt16BE(at + 3);
    fragments.push(bytes.subarray(at + RECORD_HEAD, end));
    at = end;
  }
  return Buffer.concat(fragments);
}

/** The answer to a hello with these names. */
export function named(...serverNames: string[]): HelloResult {
  return { kind: 'hello', hello: { serverNames, ech: false } };
}

export function fault(name: string) {
  return { kind: 'fault', fault: name };
}

/** Asks after each byte; fails unless it is incomplete up to some byte and the same from there on. */
export function answerOverTime(bytes: Buffer): { answer: HelloResult; at: number } {
  let at = 0;
  let answer = parseClientHello(bytes.subarray(0, 0));
  while (answer.kind === 'incomplete' && at < bytes.length) {
    at += 1;
    answer = parseClientHello(bytes.subarray(0, at));
  }
  for (let length = at; length <= bytes.length; length += 1) {
    expect(parseClientHello(bytes.subarray(0, length))).toEqual(answer);
  }
  return { answer, at };
}

/** A ClientHello as raw clients send it, one character for each byte. */
export function clientHello({ names, ech = false }: { names: string[]; ech?: boolean }): string {
  const extensions = [
    ...(names.length > 0 ? [serverName(...names)] : []),
    ...(ech ? [extension(ENCRYPTED_CLIENT_HELLO, Buffer.alloc(10))] : []),
  ];
  return hello({ extensions }).toString('latin1');
}
