import type { Socket } from 'node:net';
import { UpstreamSocket } from '../../src/net/upstream-socket.ts';
import { soon } from './proxy.ts';
import { cleanUp } from './proxy-cleanup.ts';

export interface RawAnswer {
  status: number;
  /** By name in lower case. */
  headers: Map<string, string>;
  body: string;
}

/** A connection that sends what no HTTP library would, and keeps what comes back. */
export class RawClient {
  readonly socket: Socket;
  #received = '';
  #closed: string | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#received += text;
    });
    socket.once('end', () => {
      this.#closed ??= 'end';
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#closed ??= error.code ?? 'UNKNOWN';
    });
    cleanUp(() => socket.destroy());
  }

  static async connect(
    port: number,
    host = '127.0.0.1',
    localAddress?: string,
  ): Promise<RawClient> {
    const local = localAddress === undefined ? {} : { localAddress };
    const where = { port, host, allowHalfOpen: true, ...local };
    // Of Node 20's own socket nobody learns that a reset came with the last bytes.
    const socket = new UpstreamSocket(where).connect(where);
    const client = new RawClient(socket);
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** What has come so far, one character for each byte. */
  get received(): string {
    return this.#received;
  }

  /** How the other side ended: `end`, an error's code, or null if it has not. */
  get ended(): string | null {
    return this.#closed;
  }

  /** Sends text, one byte for each character. */
  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Sends all of a long text before it reads anything; fails if the other side does not take it. */
  async sendAll(text: string): Promise<void> {
    this.socket.pause();
    await new Promise<void>((resolve, reject) => {
      this.socket.write(text, 'latin1', (error) => (error ? reject(error) : resolve()));
    });
    this.socket.resume();
  }

  /** Waits until a text has come. */
  async until(text: string): Promise<void> {
    await soon(() => {
      if (!this.#received.includes(text)) throw new Error(`no ${text} in ${this.#received}`);
    });
  }

  /** Waits until the other side has ended. @returns how. */
  untilEnded(): Promise<string> {
    return soon(() => {
      if (this.#closed === null) throw new Error(`still open after ${this.#received}`);
      return this.#closed;
    });
  }

  /** Waits for an answer that has a Content-Length, and takes it off what was received. */
  answer(): Promise<RawAnswer> {
    return soon(() => {
      const headEnd = this.#received.indexOf('\r\n\r\n');
      if (headEnd === -1) throw new Error(`no answer in ${JSON.stringify(this.#received)}`);
      const [statusLine = '', ...fields] = this.#received.slice(0, headEnd).split('\r\n');
      const headers = new Map(fields.map(splitField));
      const end = headEnd + 4 + Number(headers.get('content-length') ?? 0);
      if (this.#received.length < end) throw new Error('the answer is not complete');
      const body = this.#received.slice(headEnd + 4, end);
      this.#received = this.#received.slice(end);
      return { status: Number(statusLine.split(' ')[1]), headers, body };
    });
  }
}

/** Sends one text on a connection of its own. */
export async function ask(port: number, text: string): Promise<RawAnswer> {
  const client = await RawClient.connect(port);
  return client.send(text).answer();
}

/** A CONNECT request. */
export function connectTo(target: string): string {
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
}

/** A tunnel through the proxy, established. */
export async function openTunnel(port: number, target: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  const { status, body } = await client.send(connectTo(target)).answer();
  if (status !== 200) throw new Error(`${status} ${body}`);
  return client;
}

function splitField(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
