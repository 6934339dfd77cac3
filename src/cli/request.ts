import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';

/** A request to the running proxy. */
export interface Question {
  /** Where: a unix socket, or a host and port. */
  to: { socketPath: string } | { host: string; port: number };
  method: 'GET' | 'POST';
  path: string;
  headers: OutgoingHttpHeaders;
  body?: string;
  /** Milliseconds until the answer begins. */
  timeout: number;
  /** Milliseconds that its body may be silent for. */
  silence: number;
}

/**
 * Asks the running proxy. By node:http, which is there already: a health check is to cost little memory.
 * @returns its answer, whose body is to be read.
 * @throws Error with the system's code
 */
export function send({ to, body, timeout, silence, ...head }: Question): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const tooLate = () => Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
    const question = request({ ...to, ...head, agent: false });
    question.setTimeout(timeout, () => question.destroy(tooLate()));
    question.on('error', reject);
    question.once('response', (answer) => {
      answer.setTimeout(silence, () => answer.destroy(tooLate()));
      resolve(answer);
    });
    question.end(body);
  });
}
