import type { Server, Socket } from 'node:net';
import { type ClientList, peerAddress } from './client-list.ts';

/** How many connections there may be at a time; what is put in later counts from then on. */
export interface CrowdLimits {
  /** Of those who may use the listener, silent ones included. */
  known: number;
  /** Of the others: enough for an answer that refuses them. */
  strangers: number;
}

/** Connections of which a look-up has yet to tell whose they are. */
const MAX_UNKNOWN = 64;

/**
 * Keeps whoever shares the network with a client from taking all the connections there are.
 * @param onDrop told of each connection that is closed unheard.
 */
export function limitCrowd(
  server: Server,
  clients: ClientList,
  limits: CrowdLimits,
  onDrop: (address: string | null, isKnown: boolean) => void = () => undefined,
): void {
  const known = new Set<Socket>();
  const strangers = new Set<Socket>();
  /** A look-up has yet to tell whose they are. */
  const waiting = new Set<Socket>();
  const bound = () => {
    server.maxConnections = limits.known + limits.strangers + MAX_UNKNOWN;
  };
  bound();
  server.on('drop', async (data) => {
    const address = peerAddress(data?.remoteAddress);
    onDrop(address, await clients.allows(address));
  });
  server.on('connection', async (socket: Socket) => {
    bound();
    const address = peerAddress(socket.remoteAddress);
    if (!clients.isKnownNow(address)) {
      if (waiting.size >= MAX_UNKNOWN) {
        socket.destroy();
        onDrop(address, false);
        return;
      }
      waiting.add(socket);
      socket.once('close', () => waiting.delete(socket));
    }
    const isKnown = await clients.allows(address);
    waiting.delete(socket);
    if (socket.destroyed) return;
    const [crowd, limit] = isKnown ? [known, limits.known] : [strangers, limits.strangers];
    // A server may be given a connection back.
    if (crowd.has(socket)) return;
    if (crowd.size >= limit) {
      socket.destroy();
      onDrop(address, isKnown);
      return;
    }
    crowd.add(socket);
    socket.once('close', () => crowd.delete(socket));
  });
}
