import { type Dispatcher, request } from 'undici';
import { type Config, readAdmin } from '../config/config.ts';
import { formatHostPort } from '../policy/host.ts';
import { exitOn } from './exit.ts';

type Body = Dispatcher.ResponseData['body'];

const TIMEOUT_MS = 3_000;
const ANY: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** The admin listener of the running proxy, as its clients see it. */
export class AdminClient {
  /** `host:port`. */
  readonly where: string;
  readonly #token: string | null;

  constructor({ listen: { host, port }, token }: Config['admin']) {
    this.where = formatHostPort(ANY[host] ?? host, port);
    this.#token = token;
  }

  /**
   * Gets a path.
   * @param silence milliseconds that the body may be silent for.
   * @throws Error that says why there is no answer, or none of use.
   */
  async get(path: string, silence = TIMEOUT_MS): Promise<Body> {
    const { statusCode, body } = await request(`http://${this.where}${path}`, {
      headers: this.#token === null ? {} : { authorization: `Bearer ${this.#token}` },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: silence,
      reset: true,
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

/** The admin listener that the environment and the configuration file name; ends the program if they have a fault. */
export function adminClient(): AdminClient {
  try {
    return new AdminClient(readAdmin(process.env));
  } catch (error) {
    return exitOn(error);
  }
}
