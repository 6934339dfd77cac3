/** `not_tls`: the first bytes are not those of a TLS record, whatever follows. */
export type HelloFault = 'not_tls' | 'malformed_hello' | 'hello_too_long';

/** What the records so far come to; `body` is the ClientHello without the head of its message. */
export type Joined =
  | { kind: 'whole'; body: Uint8Array }
  | { kind: 'incomplete'; needed: number }
  | { kind: 'fault'; fault: HelloFault };

/** How long a ClientHello may be, with the heads of the records that carry it. */
export const MAX_HELLO_BYTES = 32_768;

const RECORD_HEAD = 5;
const LONGEST_FRAGMENT = 16_384;
const HANDSHAKE = 22;
const MAJOR_VERSION = 3;
const MESSAGE_HEAD = 4;
const CLIENT_HELLO = 1;

/**
 * Takes the first handshake message, which must be a ClientHello, out of the TLS records that carry
 * it (RFC 8446, sections 4 and 5.1). A fault is told as soon as the bytes that make it are there.
 * @param bytes a stream from its beginning, as far as it has come.
 */
export function joinRecords(bytes: Uint8Array): Joined {
  const head: number[] = [];
  let taken = 0;
  let at = 0;
  while (true) {
    const wrong = recordFault(bytes, at);
    if (wrong) return { kind: 'fault', fault: wrong };
    const start = at + RECORD_HEAD;
    if (bytes.length < start) {
      // What speaks something else may send a few bytes and wait, so each of the first is judged.
      return incomplete(at === 0 ? bytes.length + 1 : leastEnd(at, messageSize(head) - taken, 0));
    }
    const length = fragmentLength(bytes, at);
    if (head.length < MESSAGE_HEAD) {
      head.push(...bytes.subarray(start, start + Math.min(length, MESSAGE_HEAD - head.length)));
      if (head.length > 0 && head[0] !== CLIENT_HELLO) return MALFORMED;
    }
    const left = messageSize(head) - taken;
    if (head.length === MESSAGE_HEAD) {
      // A ClientHello ends with its record: a change of keys may follow it (RFC 8446, section 5.1).
      if (length > left) return MALFORMED;
      if (leastEnd(start, left, length) > MAX_HELLO_BYTES) {
        return { kind: 'fault', fault: 'hello_too_long' };
      }
    }
    at = start + length;
    if (bytes.length < at) return incomplete(leastEnd(start, left, length));
    taken += length;
    if (head.length === MESSAGE_HEAD && length === left) {
      return { kind: 'whole', body: copyMessage(bytes, taken).subarray(MESSAGE_HEAD) };
    }
  }
}

const MALFORMED: Joined = { kind: 'fault', fault: 'malformed_hello' };

function incomplete(needed: number): Joined {
  return { kind: 'incomplete', needed };
}

/** What is wrong with the head of a record, as far as it has come. */
function recordFault(bytes: Uint8Array, at: number): HelloFault | null {
  const isTls =
    (bytes[at] ?? HANDSHAKE) === HANDSHAKE && (bytes[at + 1] ?? MAJOR_VERSION) === MAJOR_VERSION;
  if (!isTls) return at === 0 ? 'not_tls' : 'malformed_hello';
  if (bytes.length < at + RECORD_HEAD) return null;
  const length = fragmentLength(bytes, at);
  return length === 0 || length > LONGEST_FRAGMENT ? 'malformed_hello' : null;
}

function fragmentLength(bytes: Uint8Array, at: number): number {
  return (bytes[at + 3] ?? 0) * 256 + (bytes[at + 4] ?? 0);
}

/** The size of a message that begins like this; as long as that is open, the size of its head. */
function messageSize([, high, middle, low]: readonly number[]): number {
  if (high === undefined || middle === undefined || low === undefined) return MESSAGE_HEAD;
  return MESSAGE_HEAD + high * 65_536 + middle * 256 + low;
}

/**
 * Where the message ends at the earliest: the rest of it in as few records as it takes.
 * @param left bytes of it from `start` on. @param room how many of them fit in the record at hand.
 */
function leastEnd(start: number, left: number, room: number): number {
  const records = Math.ceil(Math.max(0, left - room) / LONGEST_FRAGMENT);
  return start + left + records * RECORD_HEAD;
}

/** The first `size` bytes that the records carry, which must all be there. */
function copyMessage(bytes: Uint8Array, size: number): Uint8Array {
  const message = new Uint8Array(size);
  let at = 0;
  let filled = 0;
  while (filled < size) {
    const start = at + RECORD_HEAD;
    at = start + fragmentLength(bytes, at);
    message.set(bytes.subarray(start, at), filled);
    filled += at - start;
  }
  return message;
}
