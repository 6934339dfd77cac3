import { existsSync, rmSync, statSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { formatListenAddress, type ListenAddress } from '../config/values.ts';

/** A listener that cannot listen; the message is a sentence that names its variable. */
export class ListenError extends Error {
  readonly code = 'CANNOT_LISTEN';
}

const IDLE_CHECK_MS = 100;

/** A server that can tell which of its connections nothing happens on, and close them. */
export type IdleServer = Server & { closeIdleConnections?: () => void };

/**
 * A server with the sockets that it has open, those included that HTTP has handed over
 * (CONNECT, upgrade), of which Node's own `closeAllConnections` no longer knows.
 */
export class Listener {
  readonly #server: IdleServer;
  readonly #sockets = new Set<Socket>();

  constructor(server: IdleServer) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      // A server may be given a connection back.
      if (this.#sockets.has(socket)) return;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /**
   * @param variable the variable that says where, for the error.
   * @returns where it listens; a port that was 0 is the one it got.
   * @throws ListenError
   */
  async listen<Address extends ListenAddress>(
    address: Address,
    variable: string,
  ): Promise<Address> {
    const { kind } = address;
    if (kind === 'unix') await removeStaleSocket(address.path);
    const where =
      kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(where, () => {
          this.#server.removeListener('error', reject);
          resolve();
        });
      });
    } catch (error) {
      throw listenError(error, address, variable);
    }
    const bound = this.#server.address();
    return typeof bound === 'object' && bound ? { ...address, port: bound.port } : address;
  }

  /** How many connections are open. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Ends every connection at once. */
  end(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Stops accepting, lets what runs finish, and ends what still runs after that.
   * @param timeout milliseconds; 0: at once.
   */
  async stop(timeout: number): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    const idle = setInterval(() => this.#server.closeIdleConnections?.(), IDLE_CHECK_MS);
    if (timeout === 0) this.end();
    const end = setTimeout(() => this.end(), timeout);
    await closed;
    clearInterval(idle);
    clearTimeout(end);
  }
}

/** One error for every listener that cannot listen. */
export function combineListenErrors(errors: readonly ListenError[]): ListenError {
  const [only] = errors;
  if (only !== undefined && errors.length === 1) return only;
  const lines = errors.map(({ message }) => `  ${message}`);
  return new ListenError(
    `${errors.length} listeners cannot listen, so nothing was started:\n${lines.join('\n')}`,
  );
}

/** The error for a listener that the system refuses, with what to do about it. */
export function listenError(error: unknown, address: ListenAddress, variable: string): ListenError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const setting = `${variable}=${formatListenAddress(address)}`;
  return new ListenError(explain(code, setting, variable));
}

function explain(code: string, setting: string, variable: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${setting}: something else listens there; stop it, or set ${variable} to another port`;
    case 'EADDRNOTAVAIL':
      return `${setting}: this machine does not have that address; set ${variable} to one that it has`;
    case 'EACCES':
      return `${setting}: it may not be opened; a port below 1024 needs CAP_NET_BIND_SERVICE, a socket a folder that can be written to`;
    default:
      return `${setting}: it cannot be opened (${code}); set ${variable} to something else`;
  }
}

/** A socket file that nobody listens on any more is left over from an unclean stop. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!existsSync(path) || !statSync(path).isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect({ path });
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
  if (!alive) rmSync(path);
}
