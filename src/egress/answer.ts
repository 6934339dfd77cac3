import { type Answer, createAnswer } from '../http/answer.ts';
import type { Reason, Verdict } from '../policy/decide.ts';
import { formatHostPort } from '../policy/host.ts';
import { explainDenial, shortDenial } from '../policy/remedy.ts';
import type { Target } from '../policy/target.ts';

// Status and RFC 9209 proxy error type (section 2.3) of each reason.
const ANSWERS: Record<Reason, [status: number, type: string]> = {
  not_allowed: [403, 'http_request_denied'],
  deny_rule: [403, 'http_request_denied'],
  non_public_address: [403, 'destination_ip_prohibited'],
  client_not_allowed: [403, 'http_request_denied'],
  bad_target: [400, 'http_request_error'],
  sni_mismatch: [403, 'http_request_denied'],
  no_sni: [403, 'http_request_denied'],
  upload_limit: [413, 'http_request_denied'],
  too_many_connections: [503, 'connection_limit_reached'],
  dns_error: [502, 'dns_error'],
  connect_failed: [502, 'destination_unavailable'],
  foreign_redirect: [502, 'http_protocol_error'],
};

/** What is wrong with a request beside its target: the code in the log, and the status of the answer. */
const MESSAGE_FAULTS = {
  /** A Transfer-Encoding that cannot be taken (RFC 9112, section 6.1). */
  unsupported_coding: 501,
  /** TRACE or OPTIONS for the proxy itself (RFC 9110, section 7.6.2). */
  no_forwards_left: 501,
  too_many_fields: 431,
};

export type MessageFault = keyof typeof MESSAGE_FAULTS;

const CONNECT_TYPES: Record<string, string> = {
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_terminated',
  EHOSTUNREACH: 'destination_ip_unroutable',
  ENETUNREACH: 'destination_ip_unroutable',
};

const EXCHANGE_FAILURES: Record<string, [status: number, type: string]> = {
  idle_timeout: [504, 'http_response_timeout'],
  ECONNRESET: [502, 'connection_terminated'],
  EPIPE: [502, 'connection_terminated'],
};

/**
 * The answer to a denied or failed request, with a sentence that says what would change it.
 * @param code of the error behind the verdict.
 * @param fault what is wrong with the target, as a sentence without its dot.
 */
export function answerTo(verdict: Verdict, target: Target | null, code = '', fault = code): Answer {
  const reason = verdict.reason ?? 'bad_target';
  const [status, type] = statusOf(reason, code);
  const sentence = explain(verdict, target, fault);
  return createAnswer({
    status,
    type,
    reason,
    sentence,
    short: shortDenial(verdict, target, fault),
    ...(status === 503 ? { retryAfter: 5 } : {}),
  });
}

/**
 * The answer when the connection was made, but no proper answer came out of it.
 * @param code the error's.
 */
export function answerToFailure(target: Target, code: string): Answer {
  const [status, type] = EXCHANGE_FAILURES[code] ?? [502, 'http_protocol_error'];
  const where = formatHostPort(target.host, target.port);
  const sentence = `${where} was not denied, but it did not answer properly (${code}).`;
  const short = `${where} did not answer properly (${code})`;
  return createAnswer({ status, type, reason: 'connect_failed', sentence, short });
}

function statusOf(reason: Reason, code: string): [status: number, type: string] {
  const [status, type] = ANSWERS[reason];
  if (Object.hasOwn(MESSAGE_FAULTS, code)) return [MESSAGE_FAULTS[code as MessageFault], type];
  if (code === 'ETIMEDOUT' && reason === 'dns_error') return [504, 'dns_timeout'];
  if (reason !== 'connect_failed') return [status, type];
  return code === 'ETIMEDOUT' ? [504, 'connection_timeout'] : [status, CONNECT_TYPES[code] ?? type];
}

function explain(verdict: Verdict, target: Target | null, detail: string): string {
  const where = target ? formatHostPort(target.host, target.port) : 'the target';
  switch (verdict.reason) {
    case 'bad_target':
      return `${detail || 'the request cannot be read as HTTP'}.`;
    case 'no_sni':
      return `${where} carries TLS alone: ask for it as https, or set EGRESS_REQUIRE_SNI=false.`;
    case 'dns_error':
      return `${where} was not denied, but its name cannot be looked up (${detail}).`;
    case 'client_not_allowed':
      return detail === ''
        ? explainDenial(verdict, target)
        : `A name in EGRESS_CLIENTS cannot be looked up (${detail}), so the proxy cannot tell whether this client may use it.`;
    case 'connect_failed':
      return `${where} was not denied, but it cannot be reached (${detail}).`;
    default:
      return explainDenial(verdict, target);
  }
}
