import { json } from 'node:stream/consumers';
import { readControlSocket } from '../config/reader.ts';
import { CONTROL_HEADERS } from '../live/orders.ts';
import { exitOn } from './exit.ts';
import { type Question, send } from './request.ts';

/** Longer than reading and applying a configuration takes on a busy machine. */
const TIMEOUT_MS = 30_000;

/** The running proxy cannot be asked; the message is a sentence with the remedy. */
export class ControlError extends Error {
  readonly code = 'NO_CONTROL';
}

/** What it answered. */
interface ControlAnswer {
  status: number;
  body: unknown;
}

/**
 * Gives a command to the running proxy, over its control socket.
 * @param order the command's body, as JSON.
 * @throws ControlError
 */
export function command(path: string, order: object = {}): Promise<ControlAnswer> {
  return askControl({
    method: 'POST',
    path,
    body: JSON.stringify(order),
  });
}

/** Asks the running proxy something, over its control socket. @throws ControlError */
export async function ask(path: string): Promise<unknown> {
  const { status, body } = await askControl({ method: 'GET', path });
  if (status !== 200) throw new ControlError(`the proxy answered with status ${status}`);
  return body;
}

async function askControl(
  question: Pick<Question, 'method' | 'path' | 'body'>,
): Promise<ControlAnswer> {
  const socketPath = readOrExit();
  if (socketPath === null) {
    throw new ControlError(
      'CONTROL_SOCKET is not set, so no proxy takes commands; run this in its container',
    );
  }
  try {
    const answer = await send({
      ...question,
      to: { socketPath },
      headers: { 'content-type': 'application/json', ...CONTROL_HEADERS },
      timeout: TIMEOUT_MS,
      silence: TIMEOUT_MS,
    });
    return { status: answer.statusCode ?? 0, body: await json(answer) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ControlError(
      `no proxy takes commands at ${socketPath} (CONTROL_SOCKET): ${code}; is it running?`,
    );
  }
}

/** Prints a sentence that says why a command was not done, and sets the exit status. */
export function fail(sentence: string, status = 1): void {
  process.stderr.write(`whisper-proxy: ${sentence}\n`);
  process.exitCode = status;
}

function readOrExit(): string | null {
  try {
    return readControlSocket(process.env);
  } catch (error) {
    return exitOn(error);
  }
}
