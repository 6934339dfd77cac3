import { describe, expect, test } from 'vitest';
import { formatAnswer } from '../src/dns/answer.ts';
import type { Envelope, Rcode } from '../src/dns/query.ts';
import { decodeAnswer, ID, labels, message, opt, question, words } from './helpers/dns-messages.ts';

const QUESTION = question(labels('oRiGiN', 'test'));
const plain: Envelope = { id: ID, flags: 0x0110, question: QUESTION, edns: null };
const withOpt: Envelope = { ...plain, edns: { dnssecOk: false } };
const A = { type: 'A', address: '192.0.2.7' } as const;

test('an address, byte for byte', () => {
  expect(formatAnswer(plain, 'NOERROR', A)).toEqual(
    message(
      { flags: 0x8590, counts: [1, 1, 0, 0] },
      QUESTION,
      words(0xc00c, 1, 1, 0, 60, 4),
      Buffer.of(192, 0, 2, 7),
    ),
  );
});

test('a name, as dns-packet reads it', () => {
  const { answers } = decodeAnswer(
    formatAnswer(plain, 'NOERROR', { type: 'PTR', name: 'whisper-proxy.example' }),
  );
  expect(answers).toEqual([
    {
      name: 'oRiGiN.test',
      type: 'PTR',
      class: 'IN',
      flush: false,
      ttl: 60,
      data: 'whisper-proxy.example',
    },
  ]);
});

test('nothing, which is said with authority, since glibc would ask another server', () => {
  const answer = decodeAnswer(formatAnswer(plain, 'NOERROR'));
  expect(answer).toMatchObject({
    id: ID,
    type: 'response',
    opcode: 'QUERY',
    rcode: 'NOERROR',
    flag_aa: true,
    flag_ra: true,
    flag_rd: true,
    flag_cd: true,
    flag_tc: false,
    flag_ad: false,
    flag_z: false,
    answers: [],
    authorities: [],
    additionals: [],
  });
});

test('the flags and the opcode are those of the query', () => {
  const answer = decodeAnswer(formatAnswer({ ...plain, flags: 0x2000, question: null }, 'NOTIMP'));
  expect(answer).toMatchObject({ opcode: 'NOTIFY', flag_rd: false, flag_cd: false });
});

test.each<[Rcode, string]>([
  ['NOERROR', 'NOERROR'],
  ['FORMERR', 'FORMERR'],
  ['SERVFAIL', 'SERVFAIL'],
  ['NXDOMAIN', 'NXDOMAIN'],
  ['NOTIMP', 'NOTIMP'],
  ['REFUSED', 'REFUSED'],
])('%s', (rcode, name) => {
  expect(decodeAnswer(formatAnswer(plain, rcode)).rcode).toBe(name);
});

test('without a question, a header alone', () => {
  const answer = formatAnswer({ ...plain, question: null }, 'FORMERR');
  expect(answer).toEqual(message({ flags: 0x8591, counts: [0, 0, 0, 0] }));
});

describe('an OPT is in the answer to a query that has one', () => {
  test('of version 0, with our size and no options', () => {
    expect(formatAnswer(withOpt, 'NXDOMAIN')).toEqual(
      message(
        { flags: 0x8593, counts: [1, 0, 0, 1] },
        QUESTION,
        Buffer.of(0),
        words(41, 1232, 0, 0, 0),
      ),
    );
  });

  test('with the DO bit of the query', () => {
    const { additionals } = decodeAnswer(
      formatAnswer({ ...plain, edns: { dnssecOk: true } }, 'NOERROR', A),
    );
    expect(additionals).toMatchObject([{ type: 'OPT', flags: 0x8000, flag_do: true }]);
  });

  test('with the upper bits of BADVERS', () => {
    const answer = decodeAnswer(formatAnswer(withOpt, 'BADVERS'));
    expect(answer).toMatchObject({
      rcode: 'NOERROR',
      additionals: [{ extendedRcode: 1, ednsVersion: 0 }],
    });
  });
});

describe('no answer is much longer than its query', () => {
  test('an address adds 16 bytes', () => {
    const query = message({}, QUESTION);
    expect(formatAnswer(plain, 'NOERROR', A)).toHaveLength(query.length + 16);
  });

  test('the OPT adds nothing', () => {
    const query = message({ counts: [1, 0, 0, 1] }, QUESTION, opt());
    expect(formatAnswer(withOpt, 'NOERROR', A)).toHaveLength(query.length + 16);
  });

  test('so the shortest name makes the most of it: 35 bytes for 19', () => {
    const shortest = question(labels('a'));
    expect(message({}, shortest)).toHaveLength(19);
    expect(formatAnswer({ ...plain, question: shortest }, 'NOERROR', A)).toHaveLength(35);
  });

  test('and the longest name with the longest record stays within 512 bytes', () => {
    const long = 'a'.repeat(63);
    const longest = question(labels(long, long, long, 'a'.repeat(61)));
    expect(longest).toHaveLength(259);
    expect(formatAnswer({ ...withOpt, question: longest }, 'NOERROR', A)).toHaveLength(298);
  });
});
