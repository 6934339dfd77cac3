import { Agent, type Dispatcher, request } from 'undici';
import { type Config, readAdmin, readControlSocket } from '../config/config.ts';
import { CONTROL_HEADERS } from '../live/control.ts';
import { formatHostPort } from '../policy/host.ts';
import { exitOn } from './exit.ts';

type Body = Dispatcher.ResponseData['body'];

const TIMEOUT_MS = 3_000;
const ANY: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** What answers questions about the running proxy, as its clients see it. */
export class AdminClient {
  /** Where it is, with the variable that says so. */
  readonly where: string;
  readonly #origin: string;
  readonly #headers: Record<string, string>;
  readonly #dispatcher: Dispatcher | null;

  private constructor(
    where: string,
    origin: string,
    headers: Record<string, string>,
    dispatcher: Dispatcher | null,
  ) {
    this.where = where;
    this.#origin = origin;
    this.#headers = headers;
    this.#dispatcher = dispatcher;
  }

  static ofListener({ listen: { host, port }, token }: Config['admin']): AdminClient {
    const where = formatHostPort(ANY[host] ?? host, port);
    const headers: Record<string, string> =
      token === null ? {} : { authorization: `Bearer ${token}` };
    return new AdminClient(`${where} (ADMIN_LISTEN)`, `http://${where}`, headers, null);
  }

  /** By the control socket: it is there whatever the configuration says of the listener by now. */
  static ofSocket(socketPath: string): AdminClient {
    const dispatcher = new Agent({ connect: { socketPath } });
    const where = `${socketPath} (CONTROL_SOCKET)`;
    return new AdminClient(where, 'http://localhost', CONTROL_HEADERS, dispatcher);
  }

  /**
   * Gets a path.
   * @param silence milliseconds that the body may be silent for.
   * @throws Error that says why there is no answer, or none of use.
   */
  async get(path: string, silence = TIMEOUT_MS): Promise<Body> {
    const { statusCode, body } = await request(`${this.#origin}${path}`, {
      headers: this.#headers,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: silence,
      reset: true,
      ...(this.#dispatcher === null ? {} : { dispatcher: this.#dispatcher }),
    });
    if (statusCode === 200) return body;
    await body.dump();
    throw new Error(
      statusCode === 401
        ? 'it wants a token; set ADMIN_TOKEN to the one it has'
        : `it answered with status ${statusCode}`,
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
