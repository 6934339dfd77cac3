import fc from 'fast-check';
import { expect, test } from 'vitest';
import { classifyAddress } from '../src/policy/addresses.ts';
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

test('every address has a class, and IPv4 in IPv6 is never better than the IPv4 address', () => {
  fc.assert(
    fc.property(fc.ipV4(), (v4) => {
      const plain = classifyAddress(canonicalAddress(v4));
      for (const carrier of [`::ffff:${v4}`, `64:ff9b::${v4}`, `::${v4}`]) {
        const carried = classifyAddress(canonicalAddress(carrier));
        if (carried.public) expect(plain.public).toBe(true);
        if (plain.never) expect(carried.never).toBe(true);
      }
    }),
  );
  fc.assert(fc.property(fc.ipV6(), (v6) => classifyAddress(canonicalAddress(v6)).name !== ''));
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
