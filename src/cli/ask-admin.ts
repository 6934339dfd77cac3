import type { IncomingMessage } from 'node:http';
import { type AdminConfig, readAdmin, readControlSocket } from '../config/reader.ts';
import { CONTROL_HEADERS } from '../live/orders.ts';
import { formatHostPort } from '../policy/host.ts';
import { exitOn } from './exit.ts';
import { type Question, send } from './request.ts';

const TIMEOUT_MS = 3_000;
const ANY: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** What answers questions about the running proxy, as its clients see it. */
export class AdminClient {
  /** Where it is, with the variable that says so. */
  readonly where: string;
  readonly #to: Question['to'];
  readonly #headers: Question['headers'];

  private constructor(where: string, to: Question['to'], headers: Question['headers']) {
    this.where = where;
    this.#to = to;
    this.#headers = headers;
  }

  static ofListener({ listen, token }: AdminConfig): AdminClient {
    const { port } = listen;
    const host = ANY[listen.host] ?? listen.host;
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    return new AdminClient(`${formatHostPort(host, port)} (ADMIN_LISTEN)`, { host, port }, headers);
  }

  /** By the control socket: it is there whatever the configuration says of the listener by now. */
  static ofSocket(socketPath: string): AdminClient {
    return new AdminClient(`${socketPath} (CONTROL_SOCKET)`, { socketPath }, CONTROL_HEADERS);
  }

  /**
   * Gets a path.
   * @param silence milliseconds that the body may be silent for.
   * @returns the answer, whose body is to be read.
   * @throws Error that says why there is no answer, or none of use.
   */
  async get(path: string, silence = TIMEOUT_MS): Promise<IncomingMessage> {
    const answer = await send({
      ...{ to: this.#to, method: 'GET', path, headers: this.#headers },
      ...{ timeout: TIMEOUT_MS, silence },
    });
    if (answer.statusCode === 200) return answer;
    answer.destroy();
    throw new Error(
      answer.statusCode === 401
        ? 'it wants a token; set ADMIN_TOKEN to the one it has'
        : `it answered with status ${answer.statusCode}`,
    );
  }
}

/** The control socket, or else the admin listener that is configured; ends the program if that has a fault. */
export function adminClient(): AdminClient {
  try {
    const socket = readControlSocket(process.env);
    return socket === null
      ? AdminClient.ofListener(readAdmin(process.env))
      : AdminClient.ofSocket(socket);
  } catch (error) {
    return exitOn(error);
  }
}
