import {
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log/logger.ts';
import type { Resolve } from '../../src/net/resolve.ts';
import { SystemResolver } from '../../src/net/system-resolver.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { LOOPBACK } from './cli.ts';

export type Line = Record<string, unknown>;

/** A running proxy. */
export interface Ingress {
  port: number;
  /** Where clients reach it by address. */
  origin: string;
  /** The lines of its log so far that are about an event. */
  lines(event?: string): Line[];
  stop(): Promise<void>;
}

/** Starts the proxy on free loopback ports, until the test has finished. */
export async function startIngress(
  env: Record<string, string>,
  resolve: Resolve = new SystemResolver().resolve,
): Promise<Ingress> {
  const log: Line[] = [];
  const logger = createLogger('info', { write: (line) => void log.push(JSON.parse(line)) });
  const config = readConfig({ ...LOOPBACK, SHUTDOWN_TIMEOUT: '50ms', ...env });
  const sidecar = new Sidecar(config, logger, resolve);
  onTestFinished(() => sidecar.stop());
  const { ingress } = await sidecar.start();
  const port = ingress.kind === 'tcp' ? ingress.port : 0;
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    lines: (event = 'ingress') => log.filter((line) => line.event === event),
    stop: () => sidecar.stop(),
  };
}

/** An answer that was read to its end. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: Buffer;
}

/** Sends a request, by a connection of its own unless `agent` says otherwise. */
export function ask(
  url: string,
  options: RequestOptions = {},
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { agent: false, ...options }, (answer) => {
      readAnswer(answer).then(resolve, reject);
    });
    outgoing.on('error', reject).end(body);
  });
}

/** Reads an answer to its end. @throws if it is cut off. */
export async function readAnswer(answer: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  const { statusCode = 0, headers, rawHeaders } = answer;
  return { status: statusCode, headers, rawHeaders, body: Buffer.concat(chunks) };
}

/** Opens a connection, until the test has finished; its bytes are what the test writes. */
export function open(port: number, localAddress = '127.0.0.1'): Socket {
  const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
  onTestFinished(() => {
    socket.destroy();
  });
  return socket.on('error', () => undefined);
}

/** Reads from a socket until it has a text. @returns all that has come. */
export function readUntil(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const stop = () => {
      socket.removeListener('data', onData).removeListener('close', onClose);
      socket.pause();
    };
    const onData = (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (!received.includes(text)) return;
      stop();
      resolve(received);
    };
    const onClose = () => {
      stop();
      reject(new Error(`closed before ${JSON.stringify(text)}: ${received}`));
    };
    socket.on('data', onData).on('close', onClose).resume();
  });
}

/** Sends bytes that no library would, and reads until the other end closes. */
export async function askRaw(port: number, text: string | Buffer): Promise<string> {
  const socket = open(port);
  socket.write(text, 'latin1');
  let received = '';
  for await (const chunk of socket) received += chunk.toString('latin1');
  return received;
}
