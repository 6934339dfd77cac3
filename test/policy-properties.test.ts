import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressForms, classifyAddress } from '../src/policy/addresses.ts';
import { decideTarget } from '../src/policy/decide.ts';
import { canonicalAddress, formatHostPort } from '../src/policy/host.ts';
import { ruleFor } from '../src/policy/remedy.ts';
import { findRule, parseRule, RuleError } from '../src/policy/rules.ts';
import { parseAuthority, parseHttpUri, type Target, TargetError } from '../src/policy/target.ts';

const nearlyTargets = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.tuple(fc.domain(), fc.nat(70_000)).map(([name, port]) => `${name}:${port}`),
  fc.tuple(fc.ipV4Extended(), fc.nat(70_000)).map(([ip, port]) => `${ip}:${port}`),
  fc.tuple(fc.ipV6(), fc.nat(70_000)).map(([ip, port]) => `[${ip}]:${port}`),
  fc
    .array(fc.constantFrom('a', '1', '.', ':', '[', ']', '@', '%', '/', '0x', '443', 'ok.com'), {
      maxLength: 12,
    })
    .map((parts) => parts.join('')),
);

function read(text: string): Target | null {
  try {
    return parseAuthority(text);
  } catch (error) {
    if (error instanceof TargetError) return null;
    throw error;
  }
}

test('no target makes the parser do anything but read or refuse it', () => {
  fc.assert(
    fc.property(nearlyTargets, (text) => {
      read(text);
      try {
        parseHttpUri(`http://${text}/`);
      } catch (error) {
        expect(error).toBeInstanceOf(TargetError);
      }
    }),
    { numRuns: 5000 },
  );
});

test('what was read is in canonical form: written out and read again, it is the same', () => {
  fc.assert(
    fc.property(nearlyTargets, (text) => {
      const target = read(text);
      if (target === null) return;
      expect(parseAuthority(formatHostPort(target.host, target.port))).toEqual(target);
      expect(target.host).toMatch(/^[a-z0-9_.:-]+$/);
    }),
    { numRuns: 5000 },
  );
});

test('the rule that an answer names matches its target, and no rule matches what it does not name', () => {
  const empty = {
    allow: [],
    deny: [],
    mode: 'enforce',
    maxUpload: { default: null, groups: {} },
  } as const;
  fc.assert(
    fc.property(nearlyTargets, (text) => {
      const target = read(text);
      if (target === null) return;
      expect(findRule([parseRule(ruleFor(target), 'allow', null)], target)).toBeDefined();
      expect(decideTarget(empty, target, () => false).decision).toBe('deny');
    }),
    { numRuns: 2000 },
  );
});

const anyIPv4 = fc.oneof(
  fc.ipV4(),
  fc.constantFrom('169.254.169.254', '100.100.100.200', '127.0.0.1', '10.89.77.3', '0.0.0.0'),
);

/** Ways to carry an IPv4 address in an IPv6 address: the bytes before it, and after it. */
const CARRIERS: [name: string, before: string, after: number][] = [
  ['mapped', '00000000000000000000ffff', 0],
  ['compatible', '000000000000000000000000', 0],
  ['translated', '0000000000000000ffff0000', 0],
  ['NAT64', '0064ff9b0000000000000000', 0],
  ['6to4', '2002', 10],
  ['Teredo server', '20010000', 8],
  ['ISATAP', '260647000000000000005efe', 0],
  ['ISATAP, universal', '260647000000000002005efe', 0],
];

test.each(CARRIERS)('no IPv4 address is better for being carried: %s', (_, before, after) => {
  fc.assert(
    fc.property(anyIPv4, fc.uint8Array({ minLength: after, maxLength: after }), (v4, rest) => {
      const address = fromBytes([...Buffer.from(before, 'hex'), ...bytesOf(v4), ...rest]);
      expectNoBetter(address, v4);
    }),
  );
});

test('no IPv4 address is better for being the client of a Teredo address', () => {
  fc.assert(
    fc.property(anyIPv4, fc.uint8Array({ minLength: 8, maxLength: 8 }), (v4, middle) => {
      const inverted = bytesOf(v4).map((byte) => byte ^ 0xff);
      expectNoBetter(fromBytes([0x20, 0x01, 0, 0, ...middle, ...inverted]), v4);
    }),
  );
});

test.each([
  [48, [6, 7, 9, 10]],
  [56, [7, 9, 10, 11]],
  [64, [9, 10, 11, 12]],
  [96, [12, 13, 14, 15]],
])('no IPv4 address is better behind a /%i prefix in 64:ff9b:1::/48', (_, places) => {
  const rest = fc.uint8Array({ minLength: 10, maxLength: 10 });
  fc.assert(
    fc.property(anyIPv4, fc.oneof(rest, fc.constant(new Uint8Array(10))), (v4, filling) => {
      const bytes = [0x00, 0x64, 0xff, 0x9b, 0x00, 0x01, ...filling];
      for (const [index, place] of places.entries()) bytes[place] = bytesOf(v4)[index] ?? 0;
      // One in 0.0.0.0/8 cannot be told from the zeros that a longer prefix has there.
      fc.pre(!v4.startsWith('0.'));
      expectNoBetter(fromBytes(bytes), v4);
    }),
  );
});

function expectNoBetter(carrier: string, v4: string): void {
  const address = canonicalAddress(carrier);
  const plain = classifyAddress(v4);
  const carried = classifyAddress(address);
  if (!plain.public) expect(carried.public).toBe(false);
  if (plain.never) expect(carried.never).toBe(true);
  // Neither `::` nor `::1` is an IPv4-compatible address.
  if (address !== '::' && address !== '::1') expect(addressForms(address)).toContain(v4);
}

function bytesOf(v4: string): number[] {
  return v4.split('.').map(Number);
}

function fromBytes(bytes: readonly number[]): string {
  const hex = Buffer.from(bytes).toString('hex');
  return (hex.match(/.{4}/g) ?? []).join(':');
}

test('every address has a class, and forms of which the first is itself', () => {
  fc.assert(
    fc.property(fc.ipV6(), (v6) => {
      const address = canonicalAddress(v6);
      expect(classifyAddress(address).name).not.toBe('');
      expect(addressForms(address)[0]).toBe(address);
    }),
  );
});

test('no text makes the rule parser do anything but read or refuse it', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        nearlyTargets,
        fc.string().map((text) => `*.${text}`),
      ),
      (text) => {
        try {
          parseRule(text, 'allow', null);
        } catch (error) {
          expect(error).toBeInstanceOf(RuleError);
        }
      },
    ),
    { numRuns: 5000 },
  );
});
