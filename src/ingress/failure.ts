import { type Answer, createAnswer } from '../http/answer.ts';
import { DialError } from '../net/dial.ts';
import { ForeignRedirectError, UnfitAnswerError } from './answer.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import type { IngressFailure } from './observer.ts';

const RETRY_SECONDS = 5;
/** The codes of Node's parser. */
const MALFORMED = /^HPE_/;

/** What failed, where whisper gave no answer, or none that may pass. */
export function classifyFailure(error: unknown): IngressFailure & { error: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN';
  if (error instanceof DialError || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const reason = code === 'ETIMEDOUT' ? 'connection_timeout' : 'connection_refused';
    return { reason, error: code };
  }
  const isUnfit = findFault(error, code) !== null;
  return { reason: isUnfit ? 'http_protocol_error' : 'connection_terminated', error: code };
}

/**
 * The answer where whisper gave none, or none that may pass.
 * @param upstream where whisper should be, for the sentence.
 */
export function failureAnswer(error: unknown, upstream: string): Answer {
  const { reason: type, error: code } = classifyFailure(error);
  if (error instanceof ForeignRedirectError) {
    const sentence = 'whisper answered with a redirect to another origin, which is not passed on.';
    return createAnswer({ status: 502, type, reason: 'foreign_redirect', sentence });
  }
  if (type === 'connection_refused' || type === 'connection_timeout') {
    return notListening(type, code, upstream);
  }
  const fault = findFault(error, code);
  if (fault !== null) {
    const sentence = `whisper's answer cannot be passed on: it ${fault}.`;
    return createAnswer({ status: 502, type, reason: null, sentence });
  }
  const sentence = `whisper at ${upstream} ended the connection before it answered (${code}). It may have been restarted; try again.`;
  return createAnswer({
    status: 502,
    type,
    reason: null,
    sentence,
    retryAfter: RETRY_SECONDS,
  });
}

/** What is wrong with an answer, or null where none came. */
function findFault(error: unknown, code: string): string | null {
  if (error instanceof UnfitAnswerError) return error.message;
  if (code === 'HPE_HEADER_OVERFLOW')
    return `has a header of more than ${MAX_HEADER_BYTES / 1024} KiB`;
  return MALFORMED.test(code) ? `is malformed (${code})` : null;
}

function notListening(type: string, code: string, upstream: string): Answer {
  return createAnswer({
    status: type === 'connection_timeout' ? 504 : 502,
    type,
    reason: null,
    sentence: `whisper does not listen at ${upstream} (${code}). It may still be loading its model; try again in a few seconds.`,
    retryAfter: RETRY_SECONDS,
  });
}
