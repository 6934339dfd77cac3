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
