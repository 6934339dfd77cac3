import { expect, test } from 'vitest';
import { alert } from '../src/tls/alert.ts';

test.each([
  ['access_denied', '15030300020231'],
  ['unrecognized_name', '15030300020270'],
] as const)('the alert %s', (description, hex) => {
  expect(alert(description).toString('hex')).toBe(hex);
});
