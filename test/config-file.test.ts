import { describe, expect, test } from 'vitest';
import { parseEnvFile } from '../src/config/env-file.ts';

describe('an env file', () => {
  test.each([
    ['A=b', 'b'],
    ['A=', ''],
    ['  A=b  ', 'b'],
    ['A= b c ', 'b c'],
    ['A="b c"', 'b c'],
    ["A='b c'", 'b c'],
    ["A='b\"c'", 'b"c'],
    ['A=" b #c "', ' b #c '],
    ['A=b#c', 'b#c'],
    ['A=b=c', 'b=c'],
    ['A=""', ''],
    ['\uFEFFA=b', 'b'],
    ['A=b\r', 'b'],
    ['A=\u00fcber', '\u00fcber'],
  ])('%j', (line, value) => {
    expect(parseEnvFile(line)).toEqual({
      assignments: [{ name: 'A', value, line: 1 }],
      faults: [],
    });
  });

  test('comments, empty lines and line numbers', () => {
    const { assignments, faults } = parseEnvFile('# one\r\n\r\n  # two\r\nA=b\r\n\nC=d');
    expect(faults).toEqual([]);
    expect(assignments.map(({ name, line }) => [name, line])).toEqual([
      ['A', 4],
      ['C', 6],
    ]);
  });

  test.each([
    ['export A=b', /take the word export out/],
    ['A', /NAME=value/],
    ['A =b', /no space around/],
    ['EGRESS_ALLOW_HUGGING-FACE=x', /letters, digits and _/],
    ['=b', /letters, digits and _/],
    ['1A=b', /letters, digits and _/],
    ['A-B=c', /letters, digits and _/],
    ['A=b # c', /a line of its own/],
    ['A=b\t# c', /a line of its own/],
    ['A="b" # c', /quotes/],
    ['A=b \\', /cannot go on/],
    ['A="b\\"', /cannot go on/],
    ['A="b', /quotes/],
    ['A=b"c"', /quotes/],
    ['A=b\u0000c', /control/],
    ['# note\rA=b', /control/],
    ['# note\u2028A=b', /control/],
    ['A=b\u001b[31mc', /control/],
    ['A=b\u00a0c', /U\+00A0\) is a special space|U\+00A0 is a special space/],
    ['\u00a0A=b', /U\+00A0/],
    ['A=b\u3000c', /U\+3000/],
    ['A=\u201cb\u201d', /\(U\+201C\) is a typographic quote/],
    ['A=\u2018b\u2019', /U\+2018/],
    ['A=b\u200bc', /U\+200B is invisible/],
    ['A=b\ufeffc', /U\+FEFF is invisible/],
    ['A\u00ad=b', /U\+00AD/],
    ['A=b\u2013c', /\(U\+2013\) is a typographic dash; write -/],
    ['A=b\uff1a443', /\(U\+FF1A\) is a full-width/],
    ['A=b\u202ec', /U\+202E is invisible/],
    ['A\uff1db', /U\+FF1D/],
  ])('%j is a fault', (line, message) => {
    const { assignments, faults } = parseEnvFile(`\n${line}`);
    expect(assignments).toEqual([]);
    expect(faults).toHaveLength(1);
    expect(faults[0]?.line).toBe(2);
    expect(faults[0]?.message).toMatch(message);
  });

  test('a name twice is a fault that names the first line', () => {
    const { assignments, faults } = parseEnvFile('A=b\nA=c');
    expect(assignments).toEqual([{ name: 'A', value: 'b', line: 1 }]);
    expect(faults).toMatchObject([
      { name: 'A', line: 2, message: expect.stringMatching(/line 1/) },
    ]);
  });
});
