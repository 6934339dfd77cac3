import { type Answer, encode } from 'dns-packet';
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
/** Seconds; the policy can change, and asking again costs next to nothing. */
const TTL = 60;

// glibc takes an answer without records that has neither for that of a lame server, and asks the next.
const AA = 0x0400;
const RA = 0x0080;
const DO = 0x8000;

const HEADER_BYTES = 12;
const QUESTION_COUNT_OFFSET = 4;
/** A pointer to byte 12 (RFC 1035, section 4.1.4), where the question's name stands. */
const QUESTION_NAME = Buffer.from([0xc0, 0x0c]);
/** What fits through any network in one piece (DNS flag day 2020). */
const PAYLOAD_BYTES = 1_232;
const ROOT = '.';

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
  const message = encode({
    type: 'response',
    id: query.id,
    flags: AA | RA | query.flags | (code & 0x0f),
    answers: record ? [toRecord(record)] : [],
    additionals: edns ? [toOpt(code >> 4, edns.dnssecOk)] : [],
  });
  if (question === null) return message;
  // The question is repeated as it came, which dns-packet could not: it turns labels into text. Nor
  // can it point to a name, so the record is made for the root, whose one byte is replaced.
  const [head, rest] = [message.subarray(0, HEADER_BYTES), message.subarray(HEADER_BYTES)];
  head.writeUInt16BE(1, QUESTION_COUNT_OFFSET);
  return Buffer.concat(
    record ? [head, question, QUESTION_NAME, rest.subarray(1)] : [head, question, rest],
  );
}

function toRecord(record: AnswerRecord): Answer {
  return record.type === 'A'
    ? { type: 'A', name: ROOT, ttl: TTL, data: record.address }
    : { type: 'PTR', name: ROOT, ttl: TTL, data: record.name };
}

function toOpt(extendedRcode: number, dnssecOk: boolean): Answer {
  return {
    type: 'OPT',
    name: ROOT,
    udpPayloadSize: PAYLOAD_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: dnssecOk ? DO : 0,
    flag_do: dnssecOk,
    options: [],
  };
}
