import type { Socket } from 'node:net';
import { type ClientCheck, type ClientList, peerAddress } from './client-list.ts';
import type { IdleServer } from './listener.ts';

/** How many connections there may be at a time; what is put in later counts from then on. */
export interface CrowdLimits {
  /** Of those who may use the listener, silent ones included. */
  known: number;
  /** Of the others: enough for an answer that refuses them. */
  strangers: number;
}

/** What becomes of connections that are not served. */
export interface CrowdHandlers {
  /**
   * Answers somebody who may not use the listener, and ends the connection: nothing of what it says
   * is parsed. Without it, such a connection is served, and whoever serves it refuses it.
   */
  refuse?: (socket: Socket, check: ClientCheck) => void;
  /** Told of each connection that is closed unheard. */
  onDrop?: (address: string | null, isKnown: boolean) => void;
}

/** Connections of which a look-up has yet to tell whose they are. */
const MAX_UNKNOWN = 64;
/** How long somebody who is going to be refused may take to say anything. */
const SILENCE_MS = 10_000;

/**
 * Decides by its address about each connection, before the server reads a byte of it, and keeps
 * whoever shares the network with a client from taking all the connections there are. To be called
 * before other listeners of `connection` are added that are to see every one.
 */
export function limitCrowd(
  server: IdleServer,
  clients: ClientList,
  limits: CrowdLimits,
  { refuse, onDrop = () => undefined }: CrowdHandlers,
): void {
  const known = new Set<Socket>();
  const strangers = new Set<Socket>();
  /** A look-up has yet to tell whose they are. */
  const waiting = new Set<Socket>();
  /** Nobody has heard anything of them yet: those that are to be refused. */
  const silent = new Set<Socket>();
  const closeIdle = server.closeIdleConnections?.bind(server);
  server.closeIdleConnections = () => {
    closeIdle?.();
    for (const socket of [...waiting, ...silent]) socket.destroy();
  };
  const serving = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const serve = (socket: Socket) => {
    for (const listener of serving) listener.call(server, socket);
  };
  const bound = () => {
    server.maxConnections = limits.known + limits.strangers + MAX_UNKNOWN;
  };
  bound();
  server.on('drop', async (data) => {
    const address = peerAddress(data?.remoteAddress);
    onDrop(address, await clients.allows(address));
  });
  server.on('connection', async (socket: Socket) => {
    // A server may be given a connection back.
    if (known.has(socket) || strangers.has(socket)) {
      serve(socket);
      return;
    }
    bound();
    socket.on('error', ignore);
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
    const check = await clients.check(address);
    waiting.delete(socket);
    if (socket.destroyed) return;
    const isKnown = check.allowed;
    const [crowd, limit] = isKnown ? [known, limits.known] : [strangers, limits.strangers];
    if (crowd.size >= limit) {
      socket.destroy();
      onDrop(address, isKnown);
      return;
    }
    crowd.add(socket);
    socket.once('close', () => crowd.delete(socket));
    if (isKnown || refuse === undefined) {
      socket.removeListener('error', ignore);
      serve(socket);
      return;
    }
    // Not before it has said something: an answer to nothing would be taken for none.
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
    socket.once('end', () => socket.end());
    socket.once('data', () => {
      silent.delete(socket);
      refuse(socket, check);
    });
  });
}

function ignore(): void {}
