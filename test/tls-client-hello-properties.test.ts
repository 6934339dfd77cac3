import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type HelloResult, MAX_HELLO_BYTES, parseClientHello } from '../src/tls/client-hello.ts';
import {
  ENCRYPTED_CLIENT_HELLO,
  extension,
  type HelloParts,
  helloMessage,
  number,
  readFixtures,
  records,
  SERVER_NAME,
  serverName,
} from './helpers/client-hello.ts';

const bytesOf = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes));

const names = fc.array(
  fc.oneof(
    fc.domain(),
    bytesOf(1, 20).map((bytes) => bytes.toString('latin1')),
  ),
  { minLength: 1, maxLength: 3 },
);

const GREASE = Array.from({ length: 16 }, (_, index) => index * 0x1010 + 0x0a0a);

const otherExtensions = fc
  .uniqueArray(fc.oneof(fc.integer({ min: 1, max: 0xffff }), fc.constantFrom(...GREASE)), {
    maxLength: 8,
  })
  .chain((types) => fc.tuple(...types.map((type) => fc.tuple(fc.constant(type), bytesOf(0, 40)))));

/** A valid hello, and what it says. */
const hellos = fc
  .record({
    version: fc.integer({ min: 0x0300, max: 0x03ff }),
    sessionId: bytesOf(0, 32),
    suites: fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 20 }),
    compression: bytesOf(1, 3),
    others: fc.option(otherExtensions),
    names: fc.option(names),
    place: fc.nat(8),
  })
  .map(({ version, sessionId, suites, compression, others, names, place }) => {
    const extensions = (others ?? []).map(([type, content]) => extension(type, content));
    const hasName = others !== null && names !== null;
    if (hasName) extensions.splice(place, 0, serverName(...names));
    const parts: HelloParts = {
      version,
      sessionId,
      cipherSuites: Buffer.concat(suites.map((suite) => number(suite, 2))),
      compression,
      extensions: others === null ? null : extensions,
    };
    const serverNames = hasName ? names : [];
    const ech = (others ?? []).some(([type]) => type === ENCRYPTED_CLIENT_HELLO);
    return { message: helloMessage(parts), hello: { serverNames, ech } };
  });

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 300 })), {
  minLength: 1,
  maxLength: 12,
});

const changes = fc.array(
  fc.record({
    at: fc.nat(),
    value: fc.nat(255),
    how: fc.constantFrom('set', 'add', 'remove', 'repeat'),
  }),
  { minLength: 1, maxLength: 4 },
);

/** Hellos with a few bytes changed, taken out or put in. */
const mutants = fc
  .tuple(hellos, sizes, fc.constantFrom(...readFixtures()), fc.boolean(), changes)
  .map(([{ message }, sizes, fixture, isReal, changes]) => {
    const bytes = [...(isReal ? fixture.bytes : records(message, ...sizes))].slice(0, 3_000);
    for (const { at, value, how } of changes) {
      const place = at % bytes.length;
      if (how === 'set') bytes[place] = value;
      if (how === 'add') bytes.splice(place, 0, value);
      if (how === 'remove') bytes.splice(place, 1);
      if (how === 'repeat') bytes.splice(place, 0, ...bytes.slice(place, place + value));
    }
    return Buffer.from(bytes);
  });

/** Anything, but more often what gets past the first checks. */
const streams = fc.oneof(
  bytesOf(0, 300),
  bytesOf(0, 300).map((bytes) => Buffer.concat([Buffer.from('160301', 'hex'), bytes])),
  fc.tuple(bytesOf(1, 400), sizes).map(([bytes, sizes]) => records(bytes, ...sizes)),
  fc
    .tuple(bytesOf(0, 400), sizes)
    .map(([body, sizes]) =>
      records(Buffer.concat([number(1, 1), number(body.length, 3), body]), ...sizes),
    ),
  mutants,
);

test('a hello says the same whatever records carry it, and whatever follows in others', () => {
  fc.assert(
    fc.property(hellos, sizes, bytesOf(0, 30), ({ message, hello }, sizes, rest) => {
      const bytes = Buffer.concat([records(message, ...sizes), rest]);
      expect(parseClientHello(bytes)).toEqual({ kind: 'hello', hello });
    }),
    { numRuns: 2000 },
  );
});

test('no byte of a hello is waited for in vain, and none but the last completes it', () => {
  fc.assert(
    fc.property(hellos, sizes, ({ message, hello }, sizes) => {
      const bytes = records(message, ...sizes);
      for (let length = 0; length < bytes.length; length += 1) {
        const result = parseClientHello(bytes.subarray(0, length));
        if (result.kind !== 'incomplete') throw new Error(`${result.kind} after ${length}`);
        expect(result.needed).toBeGreaterThan(length);
        expect(result.needed).toBeLessThanOrEqual(bytes.length);
      }
      expect(parseClientHello(bytes)).toEqual({ kind: 'hello', hello });
    }),
    { numRuns: 200 },
  );
});

test('an answer that is not "incomplete" is final, and "incomplete" asks for no more than may come', () => {
  fc.assert(
    fc.property(streams, (bytes) => {
      let before: HelloResult = { kind: 'incomplete', needed: 0 };
      for (let length = 0; length <= bytes.length; length += 1) {
        const result = parseClientHello(bytes.subarray(0, length));
        if (before.kind !== 'incomplete') expect(result).toEqual(before);
        if (result.kind === 'incomplete') {
          expect(result.needed).toBeGreaterThan(length);
          expect(result.needed).toBeLessThanOrEqual(MAX_HELLO_BYTES);
          if (before.kind === 'incomplete') {
            expect(result.needed).toBeGreaterThanOrEqual(before.needed);
          }
        }
        // A hello, unlike a fault, is never there before what was asked for.
        if (result.kind === 'hello' && before.kind === 'incomplete') {
          expect(length).toBeGreaterThanOrEqual(before.needed);
        }
        before = result;
      }
    }),
    { numRuns: 1000 },
  );
});

test('whatever comes, the answer is one of the three and looks at nothing beyond the bytes given', () => {
  fc.assert(
    fc.property(streams, bytesOf(0, 40), fc.nat(255), (bytes, ahead, poison) => {
      const expected = parseClientHello(Uint8Array.from(bytes));
      const around = Buffer.concat([ahead, bytes, Buffer.alloc(40_000, poison)]);
      const inside = around.subarray(ahead.length, ahead.length + bytes.length);
      expect(parseClientHello(inside)).toEqual(expected);
      expect(['hello', 'incomplete', 'fault']).toContain(expected.kind);
    }),
    { numRuns: 5000 },
  );
});

test('a hello cut short is never read from what lies behind it in memory', () => {
  fc.assert(
    fc.property(hellos, sizes, fc.nat(), ({ message }, sizes, cut) => {
      const bytes = records(message, ...sizes);
      const part = bytes.subarray(0, cut % bytes.length);
      expect(parseClientHello(part)).toEqual(parseClientHello(Uint8Array.from(part)));
      expect(parseClientHello(part).kind).toBe('incomplete');
    }),
    { numRuns: 2000 },
  );
});

test('a second extension of one type is a fault, wherever it stands', () => {
  fc.assert(
    fc.property(otherExtensions, names, fc.nat(), fc.nat(), (others, names, from, to) => {
      const extensions = others.map(([type, content]) => extension(type, content));
      extensions.push(serverName(...names));
      const twice = extensions[from % extensions.length] ?? serverName('a');
      const type = twice.readUInt16BE(0);
      const again = type === SERVER_NAME ? twice : extension(type, Buffer.alloc(3));
      extensions.splice(to % extensions.length, 0, again);
      const bytes = records(helloMessage({ extensions }));
      expect(parseClientHello(bytes)).toEqual({ kind: 'fault', fault: 'malformed_hello' });
    }),
  );
});
