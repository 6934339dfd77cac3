import { encode, type PacketOpt, type RecordType } from 'dns-packet';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AnswerRecord, formatAnswer } from '../src/dns/answer.ts';
import { readQuery } from '../src/dns/query.ts';
import { decodeAnswer, labels, message, opt, queryFor, question } from './helpers/dns-messages.ts';
import { startNameServer, UdpClient } from './helpers/name-server.ts';
import { RawClient } from './helpers/raw-client.ts';

/** Of what dns-packet writes as it stands. */
const plainLabel = fc.stringMatching(/^[A-Za-z0-9-]{1,63}$/);
const plainName = fc
  .array(plainLabel, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join('.'))
  .filter((name) => name.length <= 253);
const TYPES = ['A', 'AAAA', 'PTR', 'TXT', 'MX', 'SRV', 'NS', 'SOA', 'ANY', 'AXFR', 'CAA'] as const;

/** A query as it should be, and what it means. */
const meant = fc.record({
  id: fc.nat(0xffff),
  name: plainName,
  type: fc.constantFrom(...TYPES),
  recursionDesired: fc.boolean(),
  edns: fc.option(fc.record({ dnssecOk: fc.boolean(), padding: fc.nat(500) })),
});

type Meant = typeof meant extends fc.Arbitrary<infer Value> ? Value : never;

function write({ id, name, type, recursionDesired, edns }: Meant): Buffer {
  const padding: PacketOpt = { code: 12, length: edns?.padding };
  return encode({
    type: 'query',
    id,
    flags: recursionDesired ? 0x0100 : 0,
    questions: [{ name, type: type as RecordType }],
    additionals: edns
      ? [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: 4096,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: edns.dnssecOk ? 0x8000 : 0,
            flag_do: edns.dnssecOk,
            options: [padding],
          },
        ]
      : [],
  });
}

const byte = fc.nat(0xff);
const wellFormed = fc.oneof(
  meant.map(write),
  fc
    .array(
      fc.string({
        unit: byte.map((code) => String.fromCharCode(code)),
        minLength: 1,
        maxLength: 63,
      }),
      { maxLength: 3 },
    )
    .map((parts) => message({ counts: [1, 0, 0, 1] }, question(labels(...parts)), opt())),
);
/** Some bytes of what was well-formed are changed, and some are cut off or added. */
const nearlyQueries = fc
  .tuple(
    wellFormed,
    fc.array(fc.tuple(fc.nat(), byte), { maxLength: 6 }),
    fc.integer({ min: -20, max: 0 }),
    fc.uint8Array({ maxLength: 4 }),
  )
  .map(([bytes, changes, end, tail]) => {
    const changed = Buffer.concat([bytes.subarray(0, bytes.length + end), tail]);
    for (const [position, value] of changes) changed[position % changed.length] = value;
    return changed;
  });
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
  wellFormed,
  nearlyQueries,
);

const anyRecord: fc.Arbitrary<AnswerRecord | null> = fc.constantFrom(
  null,
  { type: 'A', address: '192.0.2.53' },
  { type: 'PTR', name: 'whisper-proxy' },
);

test('whatever comes is answered shortly, or not at all', () => {
  fc.assert(
    fc.property(anyBytes, anyRecord, (bytes, record) => {
      const query = readQuery(bytes);
      if (query === null) {
        expect(bytes.length < 12 || bytes.readUInt16BE(2) >= 0x8000).toBe(true);
        return;
      }
      const isFault = 'rcode' in query;
      const answer = isFault
        ? formatAnswer(query, query.rcode)
        : formatAnswer(query, 'NOERROR', record);
      const longest =
        bytes.length + (isFault || record === null ? 0 : record.type === 'A' ? 16 : 27);
      expect(answer.length).toBeLessThanOrEqual(Math.min(longest, 512));
      expect(decodeAnswer(answer)).toMatchObject({
        id: bytes.readUInt16BE(0),
        flag_qr: true,
        flag_tc: false,
        answers: isFault || record === null ? [] : [{ type: record.type }],
      });
      if (query.question === null) return;
      const end = 12 + query.question.length;
      expect(answer.subarray(12, end)).toEqual(bytes.subarray(12, end));
    }),
    { numRuns: 5000 },
  );
});

test('a query of dns-packet’s is read as it was meant', () => {
  fc.assert(
    fc.property(meant, (query) => {
      expect(readQuery(write(query))).toMatchObject({
        id: query.id,
        flags: query.recursionDesired ? 0x0100 : 0,
        name: { text: query.name, labels: query.name.split('.') },
        type: query.type,
        edns: query.edns && { dnssecOk: query.edns.dnssecOk },
      });
      expect(readQuery(write(query))).not.toHaveProperty('rcode');
    }),
    { numRuns: 2000 },
  );
});

test('no two names have one text', () => {
  const anyLabel = fc.string({
    unit: fc.constantFrom('a', '.', '\\', '\xff'),
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(fc.array(anyLabel, { maxLength: 6 }), (parts) => {
      const query = readQuery(message({}, question(labels(...parts))));
      const text = query && 'name' in query ? query.name.text : '';
      // Split at the dots that are not escaped.
      const read = text.match(/(?:[^.\\]|\\.)+/g) ?? [];
      expect(read.map((label) => label.replace(/\\(.)/g, '$1'))).toEqual(parts);
    }),
    { numRuns: 2000 },
  );
});

test('nothing makes a running server fall silent', async () => {
  const { port, lines } = await startNameServer();
  const client = await UdpClient.connect(port);
  await fc.assert(
    fc.asyncProperty(fc.array(anyBytes, { maxLength: 20 }), async (datagrams) => {
      // The last one's id is none of theirs, so that its answer can be told from theirs.
      const others = datagrams.filter(
        (bytes) => bytes.length < 2 || bytes.readUInt16BE(0) !== 0xabcd,
      );
      const before = client.answers.length;
      client.send(...others);
      const expected = others.filter((bytes) => readQuery(bytes) !== null).length;
      await client.send(queryFor('origin.test', 1, 0xabcd)).until(before + expected + 1);
      expect(client.answers.at(-1)?.readUInt16BE(0)).toBe(0xabcd);
    }),
    { numRuns: 200 },
  );
  expect(lines).toEqual([]);
});

test('nor does anything on a connection', async () => {
  const { port, lines } = await startNameServer();
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyBytes, { maxLength: 5 }),
      fc.uint8Array({ maxLength: 30 }),
      async (messages, tail) => {
        const client = await RawClient.connect(port);
        const parts = messages.flatMap((bytes) => [
          Buffer.of(bytes.length >> 8, bytes.length & 0xff),
          bytes,
        ]);
        client.socket.end(Buffer.concat([...parts, tail]));
        await client.untilEnded();
        client.socket.destroy();
      },
    ),
    { numRuns: 200 },
  );
  const query = queryFor('origin.test');
  const client = await RawClient.connect(port);
  client.send(`\0${String.fromCharCode(query.length)}${query.toString('latin1')}`);
  await client.until('origin');
  expect(lines).toEqual([]);
});
