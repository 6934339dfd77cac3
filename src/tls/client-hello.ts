import { Cursor } from './cursor.ts';
import { type HelloFault, joinRecords } from './hello-records.ts';

export { type HelloFault, MAX_HELLO_BYTES } from './hello-records.ts';

/** What a TLS client tells in the open about where it wants to go. */
export interface ClientHello {
  /** Every host_name in server_name, as sent, one character for each byte. Usually one. */
  serverNames: string[];
  /**
   * Whether there is an encrypted_client_hello (RFC 9849): then the name above may be a cover, and the
   * true one is encrypted. Browsers also send one that is made up (GREASE), which looks the same.
   */
  ech: boolean;
}

export type HelloResult =
  | { kind: 'hello'; hello: ClientHello }
  /** `needed`: how many bytes from the start there must be before asking again makes sense. */
  | { kind: 'incomplete'; needed: number }
  | { kind: 'fault'; fault: HelloFault };

const SERVER_NAME = 0;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const HOST_NAME = 0;
const MAJOR_VERSION = 3;
const RANDOM_BYTES = 32;
const LONGEST_SESSION_ID = 32;

/**
 * Reads the ClientHello at the start of a stream (RFC 8446, sections 4.1.2 and 5.1; the older
 * versions down to SSL 3.0 have the same form). Whatever does not fit exactly is a fault, since a
 * server might read it differently.
 * @param bytes a stream from its beginning, as far as it has come.
 * @returns the hello or a fault, which no further bytes change; or how many bytes it takes to go on,
 * which is never more than the hello has.
 */
export function parseClientHello(bytes: Uint8Array): HelloResult {
  const joined = joinRecords(bytes);
  if (joined.kind !== 'whole') return joined;
  const hello = parseBody(joined.body);
  return hello ? { kind: 'hello', hello } : { kind: 'fault', fault: 'malformed_hello' };
}

function parseBody(body: Uint8Array): ClientHello | null {
  const cursor = new Cursor(body);
  const [majorVersion] = cursor.bytes(2);
  cursor.bytes(RANDOM_BYTES);
  cursor.vector(1, 0, LONGEST_SESSION_ID);
  const cipherSuites = cursor.vector(2, 2);
  cursor.vector(1, 1);
  // Clients before TLS 1.2 may leave out the extensions and their length (RFC 5246, section 7.4.1.2).
  const extensions = cursor.hasMore ? parseExtensions(cursor.vector(2, 0)) : new Map();
  const isWhole = majorVersion === MAJOR_VERSION && cipherSuites.length % 2 === 0 && cursor.isWhole;
  if (!isWhole || extensions === null) return null;
  const serverName = extensions.get(SERVER_NAME);
  const serverNames = serverName === undefined ? [] : parseServerNames(serverName);
  return serverNames && { serverNames, ech: extensions.has(ENCRYPTED_CLIENT_HELLO) };
}

/** By type; null also if there are two of one type, which none may have (RFC 8446, section 4.2). */
function parseExtensions(bytes: Uint8Array): Map<number, Uint8Array> | null {
  const cursor = new Cursor(bytes);
  const extensions = new Map<number, Uint8Array>();
  let count = 0;
  while (cursor.hasMore) {
    extensions.set(cursor.number(2), cursor.vector(2, 0));
    count += 1;
  }
  return cursor.isWhole && extensions.size === count ? extensions : null;
}

/**
 * The names of a ServerNameList (RFC 6066, section 3). One of a type that is not known is a fault: its
 * form is not known either, so there is no telling where the next begins.
 */
function parseServerNames(extension: Uint8Array): string[] | null {
  const outer = new Cursor(extension);
  const list = new Cursor(outer.vector(2, 1));
  if (!outer.isWhole) return null;
  const names: string[] = [];
  while (list.hasMore) {
    if (list.number(1) !== HOST_NAME) return null;
    names.push(Buffer.from(list.vector(2, 1)).toString('latin1'));
  }
  return list.isWhole ? names : null;
}
