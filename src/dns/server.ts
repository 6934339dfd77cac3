import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TcpAddress } from '../config/values.ts';
import { peerAddress } from '../net/client-list.ts';
import { Listener, listenError } from '../net/listener.ts';
import { createRespond, type NameServerOptions, type Respond } from './lookups.ts';
import { serveStream } from './stream.ts';

const MAX_CONNECTIONS = 64;
/** Look-ups by UDP that may wait for their answer at a time; those beyond go unheard. */
const MAX_WAITING = 512;
const FREE_PORT_TRIES = 5;

/** The filtering name server, by UDP and TCP. */
export class NameServer {
  readonly #respond: Respond;
  readonly #admitClient: NameServerOptions['admitClient'];
  readonly #onDrop: NameServerOptions['onDrop'];
  #tcp: Listener | null = null;
  #udp: UdpSocket | null = null;
  #waiting = 0;

  constructor(options: NameServerOptions) {
    this.#respond = createRespond(options);
    this.#admitClient = options.admitClient;
    this.#onDrop = options.onDrop;
  }

  /**
   * Listens by TCP and by UDP on one port, or by neither.
   * @param variable the variable that says where, for the error.
   * @returns where it listens; a port that was 0 is the one it got.
   * @throws ListenError
   */
  async listen(address: TcpAddress, variable: string): Promise<TcpAddress> {
    // The port that the system chooses for TCP may be taken for UDP.
    for (let tries = address.port === 0 ? FREE_PORT_TRIES : 1; ; tries -= 1) {
      try {
        const bound = await this.#listenTcp(address, variable);
        await this.#listenUdp(bound, variable);
        return bound;
      } catch (error) {
        await this.stop();
        if (tries === 1) throw error;
      }
    }
  }

  /** Closes everything at once: who has no answer yet asks again. */
  async stop(): Promise<void> {
    const [tcp, udp] = [this.#tcp, this.#udp];
    this.#tcp = null;
    this.#udp = null;
    await Promise.all([tcp?.stop(0), udp && new Promise<void>((resolve) => udp.close(resolve))]);
  }

  #listenTcp(address: TcpAddress, variable: string): Promise<TcpAddress> {
    // Who has said everything, and closes its half, still gets its answers.
    const server = createServer(
      { allowHalfOpen: true, noDelay: true },
      (socket) => void this.#serve(socket),
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.on('drop', (data) => this.#onDrop(peerAddress(data?.remoteAddress)));
    // A connection that could not be accepted concerns nobody but its client.
    server.on('error', () => undefined);
    this.#tcp = new Listener(server);
    return this.#tcp.listen(address, variable);
  }

  async #listenUdp(address: TcpAddress, variable: string): Promise<void> {
    const socket = createSocket('udp4');
    this.#udp = socket;
    socket.on('message', (message, remote) => void this.#receive(socket, message, remote));
    socket.bind({ address: address.host, port: address.port });
    await once(socket, 'listening').catch((error: unknown) => {
      throw listenError(error, address, variable);
    });
    // What could not be received is lost, which datagrams may be.
    socket.on('error', () => undefined);
  }

  async #serve(socket: Socket): Promise<void> {
    socket.on('error', () => undefined);
    // The address of a peer that has reset the connection is not known any more.
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const client = peerAddress(socket.remoteAddress);
    // A stranger must not take the place of those who may ask.
    if (!(await this.#admitClient(client))) {
      socket.destroy();
      return;
    }
    await serveStream(socket, (message) => this.#respond(message, client));
  }

  async #receive(socket: UdpSocket, message: Buffer, remote: RemoteInfo): Promise<void> {
    if (this.#waiting >= MAX_WAITING) {
      this.#onDrop(peerAddress(remote.address));
      return;
    }
    this.#waiting += 1;
    try {
      const answer = await this.#respond(message, peerAddress(remote.address));
      if (answer) await send(socket, answer, remote);
    } catch {
      // Not sent: it may be closed by now, or the datagram came from port 0, which cannot be sent to.
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** Waits until it has been handed over, so that what cannot leave counts as waiting. */
function send(socket: UdpSocket, answer: Buffer, { address, port }: RemoteInfo): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(answer, port, address, (error) => (error ? reject(error) : resolve()));
  });
}
