import { Client, type Dispatcher } from 'undici';
import { readControlSocket } from '../config/config.ts';
import { CONTROL_HEADERS } from '../live/control.ts';
import { exitOn } from './exit.ts';

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
  return send({
    method: 'POST',
    path,
    body: JSON.stringify(order),
  });
}

/** Asks the running proxy something, over its control socket. @throws ControlError */
export async function ask(path: string): Promise<unknown> {
  const { status, body } = await send({ method: 'GET', path });
  if (status !== 200) throw new ControlError(`the proxy answered with status ${status}`);
  return body;
}

async function send(
  request: Pick<Dispatcher.RequestOptions, 'method' | 'path' | 'body'>,
): Promise<ControlAnswer> {
  const socketPath = readOrExit();
  if (socketPath === null) {
    throw new ControlError(
      'CONTROL_SOCKET is not set, so no proxy takes commands; run this in its container',
    );
  }
  const client = new Client('http://control', { socketPath });
  try {
    const { statusCode, body } = await client.request({
      ...request,
      headers: { 'content-type': 'application/json', ...CONTROL_HEADERS },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    return { status: statusCode, body: await body.json() };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ControlError(
      `no proxy takes commands at ${socketPath} (CONTROL_SOCKET): ${code}; is it running?`,
    );
  } finally {
    await client.close();
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
