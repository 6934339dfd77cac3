import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printable, stillPrintable } from '../src/log/printable.ts';

describe('text in the log', () => {
  test.each([
    ['models.test', 'models.test'],
    ['\xe9', '\\xe9'],
    ['\\xe9', '\\\\xe9'],
    ['\\', '\\\\'],
    ['\n\u202e', '\\x0a\\u202e'],
    ['y'.repeat(300), `${'y'.repeat(255)}...`],
  ])('%j is %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  const short = fc.string({ unit: 'binary', maxLength: 40 });

  test('no two texts look alike, and all of it is printable ASCII', () => {
    fc.assert(
      fc.property(short, short, (one, other) => {
        expect(printable(one)).toMatch(/^[\x20-\x7e]*$/);
        expect(printable(one) === printable(other)).toBe(one === other);
      }),
    );
    // What the escapes are made of, where it is likeliest to go wrong.
    const pieces = fc.array(fc.constantFrom('\\', 'x', 'e9', '\xe9', 'u', '20', '\u202e'), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(pieces, pieces, (one, other) => {
        const texts = [one.join(''), other.join('')];
        expect(printable(texts[0] ?? '') === printable(texts[1] ?? '')).toBe(texts[0] === texts[1]);
      }),
    );
  });

  test('read back from a line, it stays as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        expect(stillPrintable(printable(text))).toBe(printable(text));
      }),
    );
    expect(stillPrintable('x\n\u009b')).toBe('x\\x0a\\x9b');
    expect(stillPrintable('z'.repeat(1_000))).toHaveLength(258);
  });
});
