import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type ClientList, peerAddress } from '../net/client-list.ts';

/** Connections of those who may use whisper, silent ones included; session-manager needs a handful. */
const MAX_CLIENTS = 512;
/** Connections of the others: enough for an answer that refuses them. */
const MAX_STRANGERS = 64;
/** Connections of which a look-up has yet to tell whose they are. */
const MAX_UNKNOWN = 64;

/** Keeps whoever shares the network with session-manager from taking all the connections there are. */
export function limitConnections(server: Server, clients: ClientList): void {
  const known = new Set<Socket>();
  const strangers = new Set<Socket>();
  server.maxConnections = MAX_CLIENTS + MAX_STRANGERS + MAX_UNKNOWN;
  server.on('connection', async (socket) => {
    const allowed = await clients.allows(peerAddress(socket.remoteAddress));
    const crowd = allowed ? known : strangers;
    if (socket.destroyed) return;
    if (crowd.size >= (allowed ? MAX_CLIENTS : MAX_STRANGERS)) {
      socket.destroy();
      return;
    }
    crowd.add(socket);
    socket.once('close', () => crowd.delete(socket));
  });
}
