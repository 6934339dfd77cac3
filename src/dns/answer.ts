import type { Envelope, Rcode } from './query.ts';

/** The one record that an answer may have. */
export type AnswerRecord = { type: 'A'; address: string } | { type: 'PTR'; name: string };

const CODES: Record<Rcode, number> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
};
const TYPES = { A: 1, PTR: 12 } as const;
const TYPE_OPT = 41;
const CLASS_IN = 1;
/** Seconds; the policy can change, and asking again costs next to nothing. */
const TTL = 60;

const QR = 0x8000;
// glibc takes an answer without records that has neither for that of a lame server, and asks the next.
const AA = 0x0400;
const RA = 0x0080;
const DO = 0x8000;

/** A pointer to byte 12 (RFC 1035, section 4.1.4), where the question's name stands. */
const QUESTION_NAME = 0xc00c;
/** What fits through any network in one piece (DNS flag day 2020). */
const PAYLOAD_BYTES = 1_232;

/**
 * The answer to a query (RFC 1035, section 4.1). It has an OPT record if the query has one (RFC 6891,
 * section 6.1.1). Beyond what it repeats of the query, there is only the record in it.
 */
export function formatAnswer(
  query: Envelope,
  rcode: Rcode,
  record: AnswerRecord | null = null,
): Buffer {
  const code = CODES[rcode];
  const { question, edns } = query;
  const header = uint16s(
    query.id,
    QR | AA | RA | query.flags | (code & 0x0f),
    question ? 1 : 0,
    record ? 1 : 0,
    0,
    edns ? 1 : 0,
  );
  return Buffer.concat([
    header,
    ...(question ? [question] : []),
    ...(record ? [formatRecord(record)] : []),
    ...(edns ? [formatOpt(code >> 4, edns.dnssecOk)] : []),
  ]);
}

function formatRecord(record: AnswerRecord): Buffer {
  const data = record.type === 'A' ? formatAddress(record.address) : formatName(record.name);
  const head = uint16s(QUESTION_NAME, TYPES[record.type], CLASS_IN, 0, TTL, data.length);
  return Buffer.concat([head, data]);
}

function formatOpt(extendedCode: number, dnssecOk: boolean): Buffer {
  const flags = dnssecOk ? DO : 0;
  return Buffer.concat([
    Buffer.of(0),
    uint16s(TYPE_OPT, PAYLOAD_BYTES, extendedCode << 8, flags, 0),
  ]);
}

function formatAddress(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function formatName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label, 'latin1'));
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.of(label.length), label]),
    Buffer.of(0),
  ]);
}

function uint16s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => {
    bytes.writeUInt16BE(value, 2 * index);
  });
  return bytes;
}
