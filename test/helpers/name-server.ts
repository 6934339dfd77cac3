import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Lookup } from '../../src/dns/lookups.ts';
import { NameServer } from '../../src/dns/server.ts';
import { createLogger } from '../../src/log/logger.ts';
import type { Verdict } from '../../src/policy/decide.ts';
import { soon } from './proxy.ts';
import { cleanUp } from './proxy-cleanup.ts';

export const PROXY = '192.0.2.53';
export const ALLOW: Verdict = { decision: 'allow', reason: null, rule: 'origin.test' };
export const DENY: Verdict = { decision: 'deny', reason: 'not_allowed', rule: null };

/** A name server on loopback that runs until the test ends. */
export interface TestNameServer {
  port: number;
  /** What was asked for, in order. */
  lookups: Lookup[];
  /** Every line of the log. */
  lines: Record<string, unknown>[];
  /** Who was not heard, since there was too much to do. */
  dropped: (string | null)[];
  stop(): Promise<void>;
}

/** `origin.test` and names of the proxy's own are let through, unless `admit` says something else. */
const admitOrigin = async ({ name, own }: Lookup): Promise<Verdict> =>
  own || name.toLowerCase() === 'origin.test' ? ALLOW : DENY;

export async function startNameServer(
  admit: (lookup: Lookup) => Promise<Verdict> = admitOrigin,
): Promise<TestNameServer> {
  const lookups: Lookup[] = [];
  const lines: Record<string, unknown>[] = [];
  const dropped: (string | null)[] = [];
  const server = new NameServer({
    address: PROXY,
    proxyNames: ['whisper-proxy'],
    clientNames: ['whisper-gate'],
    admit: (lookup) => {
      lookups.push(lookup);
      return admit(lookup);
    },
    admitClient: async () => true,
    onDrop: (client) => dropped.push(client),
    logger: createLogger('info', { write: (text) => lines.push(JSON.parse(text)) }),
  });
  const { port } = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, 'DNS_LISTEN');
  const stop = () => server.stop();
  cleanUp(stop);
  return { port, lookups, lines, dropped, stop };
}

/** A UDP socket that talks to a name server, and keeps its answers. */
export class UdpClient {
  readonly answers: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (answer) => this.answers.push(answer));
    // What is sent to a server that has stopped comes back as an error.
    socket.on('error', () => undefined);
    cleanUp(() => socket.close());
  }

  static async connect(port: number): Promise<UdpClient> {
    const socket = createSocket('udp4');
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new UdpClient(socket);
  }

  send(...messages: Buffer[]): this {
    for (const message of messages) this.#socket.send(message);
    return this;
  }

  /** Waits for that many answers in all. */
  until(count: number): Promise<Buffer[]> {
    return soon(() => {
      if (this.answers.length < count) throw new Error(`${this.answers.length} answers`);
      return this.answers;
    });
  }

  /** Sends one message, and waits for the next answer. */
  async ask(message: Buffer): Promise<Buffer> {
    const count = this.answers.length + 1;
    return (await this.send(message).until(count))[count - 1] ?? Buffer.alloc(0);
  }
}
