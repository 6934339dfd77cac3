import { randomBytes } from 'node:crypto';

// RFC 8446, section 4.2, and RFC 6066, section 3.
const SERVER_NAME = 0;
const GROUPS = 10;
const POINT_FORMATS = 11;
const SIGNATURES = 13;
const VERSIONS = 43;
const KEY_SHARE = 51;

const X25519 = 0x001d;

/** What about every server of today can choose from, TLS 1.3 first. */
const CIPHER_SUITES = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8];
const SIGNATURE_SCHEMES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0807];

/**
 * A ClientHello (RFC 8446, section 4.1.2) that a server takes for one of TLS 1.3 or 1.2. It is made
 * here, since Node lets nobody put an address where a name belongs.
 * @param name the server's name, or whatever stands in its place; null: none.
 */
export function clientHello(name: string | null): Buffer {
  const extensions = [
    ...(name === null ? [] : [extension(SERVER_NAME, vector16(serverName(name)))]),
    extension(GROUPS, vector16(uint16s(X25519, 0x0017, 0x0018))),
    extension(POINT_FORMATS, vector8(Buffer.of(0))),
    extension(SIGNATURES, vector16(uint16s(...SIGNATURE_SCHEMES))),
    extension(VERSIONS, vector8(uint16s(0x0304, 0x0303))),
    // Any 32 bytes are a key (RFC 7748, section 5).
    extension(KEY_SHARE, vector16(uint16s(X25519), vector16(randomBytes(32)))),
  ];
  const body = Buffer.concat([
    uint16s(0x0303),
    randomBytes(32),
    vector8(randomBytes(32)),
    vector16(uint16s(...CIPHER_SUITES)),
    vector8(Buffer.of(0)),
    vector16(...extensions),
  ]);
  const message = Buffer.concat([Buffer.of(1, 0), vector16(body)]);
  return Buffer.concat([Buffer.of(22, 3, 1), vector16(message)]);
}

function serverName(name: string): Buffer {
  return Buffer.concat([Buffer.of(0), vector16(Buffer.from(name, 'latin1'))]);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([uint16s(type), vector16(data)]);
}

function vector8(data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(data.length), data]);
}

function vector16(...parts: Buffer[]): Buffer {
  const data = Buffer.concat(parts);
  return Buffer.concat([uint16s(data.length), data]);
}

function uint16s(...values: number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}
