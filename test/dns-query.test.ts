import { describe, expect, test } from 'vitest';
import { readQuery } from '../src/dns/query.ts';
import {
  type Header,
  ID,
  labels,
  message,
  opt,
  option,
  queryFor,
  question,
  RD,
  record,
  words,
} from './helpers/dns-messages.ts';

const NAME = labels('origin', 'test');
const QUESTION = question(NAME);
const long = 'a'.repeat(63);
/** 255 bytes with its lengths and the root's. */
const LONGEST = labels(long, long, long, 'a'.repeat(61));
const TOO_LONG = labels(long, long, long, 'a'.repeat(62));
const ONE_ADDITIONAL: Header = { counts: [1, 0, 0, 1] };
const TWO_ADDITIONALS: Header = { counts: [1, 0, 0, 2] };

/** The error that a message is answered with; undefined: it is a query. */
function fault(bytes: Buffer): string | null | undefined {
  const query = readQuery(bytes);
  if (query === null) return null;
  return 'rcode' in query ? query.rcode : undefined;
}

describe('a query', () => {
  test('is read with what its answer repeats', () => {
    expect(readQuery(message({ flags: 0x0110 }, QUESTION))).toEqual({
      id: ID,
      flags: 0x0110,
      question: QUESTION,
      edns: null,
      name: { labels: ['origin', 'test'], text: 'origin.test' },
      type: 'A',
    });
  });

  test('has no other flag that its answer would repeat', () => {
    expect(readQuery(message({ flags: 0x07ff }, QUESTION))).toMatchObject({ flags: 0x0110 });
  });

  test('keeps the letter case of its name', () => {
    const query = readQuery(queryFor('oRiGiN.TEst'));
    expect(query).toMatchObject({ name: { text: 'oRiGiN.TEst' } });
    expect(query?.question).toEqual(question(labels('oRiGiN', 'TEst')));
  });

  test.each([
    ['the root', labels(), ''],
    ['a dot within a label', labels('origin.test'), 'origin\\.test'],
    ['a backslash', labels('a\\', 'test'), 'a\\\\.test'],
    ['both', labels('a\\.b', 'test'), 'a\\\\\\.b.test'],
    ['bytes that are not UTF-8', labels('\xff\xc3\x28', 'test'), '\xff\xc3\x28.test'],
    ['UTF-8, byte for byte', labels('\xc3\xbc', 'test'), '\xc3\xbc.test'],
    ['control characters', labels('a\0\n b', 'test'), 'a\0\n b.test'],
    ['a label of 63 bytes', labels(long), long],
    ['255 bytes', LONGEST, `${long}.${long}.${long}.${'a'.repeat(61)}`],
    ['127 labels', labels(...Array(127).fill('a')), Array(127).fill('a').join('.')],
  ])('may have as its name %s', (_, name, text) => {
    const query = readQuery(message({}, question(name)));
    expect(query).toMatchObject({ name: { text } });
    expect(query?.question).toEqual(question(name));
  });

  test.each([
    [1, 'A'],
    [2, 'NS'],
    [12, 'PTR'],
    [16, 'TXT'],
    [28, 'AAAA'],
    [64, 'SVCB'],
    [65, 'HTTPS'],
    [252, 'AXFR'],
    [255, 'ANY'],
    [0, 'TYPE0'],
    [41, 'TYPE41'],
    [65535, 'TYPE65535'],
  ])('of type %i is for %s', (type, name) => {
    expect(readQuery(message({}, question(NAME, type)))).toMatchObject({ type: name });
  });

  test.each([
    ['nothing', opt(), false],
    ['the DO bit', opt({ flags: 0x8000 }), true],
    ['other bits', opt({ flags: 0x7fff }), false],
    ['an option', opt({ options: option(10, Buffer.alloc(8)) }), false],
    ['two options', opt({ options: Buffer.concat([option(3, NAME), option(12, NAME)]) }), false],
    ['a long option', opt({ options: option(12, Buffer.alloc(4_000)) }), false],
    ['an option of dns-packet’s distaste', opt({ options: option(8, Buffer.of(9)) }), false],
  ])('may have an OPT with %s', (_, bytes, dnssecOk) => {
    const query = readQuery(message(ONE_ADDITIONAL, QUESTION, bytes));
    expect(query).toMatchObject({ edns: { dnssecOk }, type: 'A' });
    expect(query).not.toHaveProperty('rcode');
  });

  test('may have other records beside its OPT', () => {
    const other = record(labels('key'), 250, Buffer.from('signature'));
    for (const parts of [
      [opt({ flags: 0x8000 }), other],
      [other, opt({ flags: 0x8000 })],
    ]) {
      const query = readQuery(message(TWO_ADDITIONALS, QUESTION, ...parts));
      expect(query).toMatchObject({ edns: { dnssecOk: true }, type: 'A' });
    }
  });
});

describe('no answer is given to', () => {
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['11 bytes', queryFor('origin.test').subarray(0, 11)],
    ['an answer', message({ flags: 0x8180 }, QUESTION)],
    ['an answer that is malformed', message({ flags: 0x8180, counts: [9, 9, 9, 9] })],
    ['an answer of another opcode', message({ flags: 0xa800 })],
  ])('%s', (_, bytes) => {
    expect(readQuery(bytes)).toBeNull();
  });
});

describe('FORMERR is the answer to', () => {
  test.each([
    ['a header alone that announces a question', message({})],
    ['no question', message({ counts: [0, 0, 0, 0] })],
    ['no question, and an OPT', message({ counts: [0, 0, 0, 1] }, opt())],
    ['two questions', message({ counts: [2, 0, 0, 0] }, QUESTION, QUESTION)],
    [
      'an answer in it',
      message({ counts: [1, 1, 0, 0] }, QUESTION, record(NAME, 1, Buffer.alloc(4))),
    ],
    [
      'an authority in it',
      message({ counts: [1, 0, 1, 0] }, QUESTION, record(NAME, 2, Buffer.of(0))),
    ],
    ['a question that is not counted', message({ counts: [0, 0, 0, 0] }, QUESTION)],
    ['a second question that is not there', message({ counts: [2, 0, 0, 0] }, QUESTION)],
    ['an answer that is not there', message({ counts: [1, 1, 0, 0] }, QUESTION)],
    ['an authority that is not there', message({ counts: [1, 0, 1, 0] }, QUESTION)],
    ['65535 of everything', message({ counts: [65535, 65535, 65535, 65535] })],
    ['65535 additionals', message({ counts: [1, 0, 0, 65535] }, QUESTION)],
    ['one additional too few', message(ONE_ADDITIONAL, QUESTION)],
    ['one additional too many', message({}, QUESTION, opt())],
    ['something behind the question', message({}, QUESTION, Buffer.of(0))],
    ['something behind the OPT', message(ONE_ADDITIONAL, QUESTION, opt(), Buffer.of(0))],
    ['a label of 64 bytes', message({}, question(labels('a'.repeat(64))))],
    ['a label of type 10', message({}, question(Buffer.of(0x80, 0)))],
    ['a name of 256 bytes', message({}, question(TOO_LONG))],
    ['a name without end', message({}, Buffer.alloc(200, 1))],
    ['a pointer to itself', message({}, question(words(0xc00c)))],
    ['a pointer to before itself', message({}, question(Buffer.of(1, 0x61, 0xc0, 12)))],
    ['a pointer into the header', message({}, question(words(0xc004)))],
    ['a forward pointer', message({}, question(words(0xc00e)), labels('test'))],
    ['two pointers at each other', message({}, question(words(0xc00e, 0xc00c)))],
    ['a pointer beyond the end', message({}, question(words(0xffff)))],
    ['half a pointer', message({}, Buffer.of(0xc0))],
    [
      'a pointer that does lead somewhere',
      message(ONE_ADDITIONAL, QUESTION, record(words(0xc00c), 250, NAME)),
    ],
    ['two OPT', message(TWO_ADDITIONALS, QUESTION, opt(), opt())],
    ['an OPT with a name', message(ONE_ADDITIONAL, QUESTION, opt({ owner: NAME }))],
    ['an OPT with the name "."', message(ONE_ADDITIONAL, QUESTION, opt({ owner: labels('.') }))],
    ['an OPT longer than the message', message(ONE_ADDITIONAL, QUESTION, opt({ length: 1 }))],
    [
      'an OPT shorter than it says',
      message(ONE_ADDITIONAL, QUESTION, opt({ options: option(10, NAME), length: 4 })),
    ],
    [
      'an option longer than its OPT',
      message(ONE_ADDITIONAL, QUESTION, opt({ options: option(10, NAME, 14) })),
    ],
    ['half an option', message(ONE_ADDITIONAL, QUESTION, opt({ options: Buffer.of(0, 10, 0) }))],
    [
      'a record longer than the message',
      message(ONE_ADDITIONAL, QUESTION, record(NAME, 1, Buffer.alloc(4), 100)),
    ],
    [
      'a record shorter than its type wants, which hides another',
      message(ONE_ADDITIONAL, QUESTION, record(NAME, 1, Buffer.alloc(4), 2)),
    ],
    [
      'more than 4096 bytes',
      message(ONE_ADDITIONAL, QUESTION, opt({ options: option(12, Buffer.alloc(4_096)) })),
    ],
  ])('%s', (_, bytes) => {
    expect(readQuery(bytes)).toEqual({
      id: ID,
      flags: RD,
      question: null,
      edns: null,
      rcode: 'FORMERR',
    });
  });

  test('a query that is cut off, wherever', () => {
    const whole = message(ONE_ADDITIONAL, QUESTION, opt({ options: option(10, Buffer.alloc(8)) }));
    expect(fault(whole)).toBeUndefined();
    for (let length = 12; length < whole.length; length += 1) {
      expect(fault(whole.subarray(0, length)), `${length} bytes`).toBe('FORMERR');
    }
  });

  test('just the longest query and no longer', () => {
    const ofLength = (length: number) =>
      message(
        ONE_ADDITIONAL,
        QUESTION,
        opt({ options: option(12, Buffer.alloc(length - 12 - QUESTION.length - 11 - 4)) }),
      );
    expect(ofLength(4_096)).toHaveLength(4_096);
    expect(fault(ofLength(4_096))).toBeUndefined();
    expect(fault(ofLength(4_097))).toBe('FORMERR');
  });
});

describe('what is well-formed, and yet no query for us', () => {
  test.each([1, 2, 4, 5, 6, 15])('opcode %i: NOTIMP, with nothing else read', (opcode) => {
    const flags = (opcode << 11) | RD;
    expect(readQuery(message({ flags, counts: [9, 9, 9, 9] }))).toEqual({
      id: ID,
      flags,
      question: null,
      edns: null,
      rcode: 'NOTIMP',
    });
  });

  test.each([0, 2, 3, 4, 254, 255, 0x8001])('class %i: REFUSED', (cls) => {
    expect(readQuery(message({}, question(NAME, 16, cls)))).toMatchObject({
      question: question(NAME, 16, cls),
      rcode: 'REFUSED',
    });
  });

  test.each([1, 255])('EDNS version %i: BADVERS', (version) => {
    const bytes = message(ONE_ADDITIONAL, question(NAME, 1, 3), opt({ version, flags: 0x8000 }));
    expect(readQuery(bytes)).toMatchObject({
      question: question(NAME, 1, 3),
      edns: { dnssecOk: true },
      rcode: 'BADVERS',
    });
  });
});
